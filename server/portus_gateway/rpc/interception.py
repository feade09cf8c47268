"""The handlers of all services, each wrapped once in the boundary, and what may come between the two.

grpc.aio's own interceptors are asked for a handler at every call. Two of them cost half as much CPU as everything else
that the gateway does for an answer from its cache.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias, TypeVar, cast

import grpc
from google.protobuf.message import Message

from portus_gateway.access.current_call import Call, current_call
from portus_gateway.access.rpcs import METHODS, Rpc
from portus_gateway.errors import GatewayError
from portus_gateway.rpc import request_id

Request = TypeVar("Request")
Response = TypeVar("Response")
Handler: TypeAlias = "grpc.RpcMethodHandler[object, object]"


class IncomingCall(Protocol):
    """A call whose request has not been read yet."""

    @property
    def service(self) -> str:
        """The full name of the service that is called."""
        ...

    @property
    def call(self) -> Call: ...

    @property
    def connection(self) -> Callable[[], Mapping[str, Iterable[bytes]]]:
        """Returns gRPC's `auth_context`: what TLS has verified of the connection."""
        ...

    async def peek(self) -> Message | None:
        """The request, for the record of a refused call. None if it does not come soon or is not valid."""
        ...


class Interceptor(Protocol):
    """Lets calls in."""

    async def enter(self, incoming: IncomingCall) -> None:
        """Lets the call in, before its request is read. Raises a `GatewayError` to refuse it.

        Is called again after an error that says that there is no place, in case there is one a little later.
        """
        ...

    async def check(self, incoming: IncomingCall, rpc: Rpc) -> None:
        """Checks a running stream of `rpc` that was let in. Raises a `GatewayError` if it would not be let in now."""
        ...

    async def refused(self, incoming: IncomingCall, error: GatewayError) -> None:
        """Is called once for each call that `enter` refused."""
        ...

    def leave(self, incoming: IncomingCall) -> None:
        """Is called once for each call that was let in, when the call is over."""
        ...


class Wrapper(Protocol):
    """Makes the handler that serves a method out of the one that the service has."""

    def wrapped(self, method: str, rpc: Rpc | None, handler: Handler) -> Handler: ...


class InterceptedHandlers(grpc.GenericRpcHandler):
    """The methods of `services`, each wrapped by `wrapper`."""

    def __init__(self, services: Sequence[grpc.GenericRpcHandler], wrapper: Wrapper) -> None:
        self._services = tuple(services)
        self._wrapper = wrapper
        self._handlers: dict[str, tuple[Handler, Rpc | None]] = {}

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Request, Response] | None":
        """The handler of a method. Sets the current call, in the context that the handler will run in."""
        found = self._handlers.get(handler_call_details.method) or self._find(handler_call_details)
        if found is None:
            return None
        handler, rpc = found
        metadata = handler_call_details.invocation_metadata or ()
        current_call.set(Call(rpc, request_id.accepted(metadata), metadata))
        return cast("grpc.RpcMethodHandler[Request, Response]", handler)

    def _find(self, details: grpc.HandlerCallDetails) -> "tuple[Handler, Rpc | None] | None":
        # The names of methods that do not exist are not kept: a caller can invent any number of them.
        for service in self._services:
            handler: Handler | None = service.service(details)
            if handler is not None:
                rpc = METHODS.get(details.method)
                found = self._handlers[details.method] = (self._wrapper.wrapped(details.method, rpc, handler), rpc)
                return found
        return None
