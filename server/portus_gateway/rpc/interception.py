"""What comes between gRPC and the handlers: put around each method once, and not at every call.

grpc.aio's own interceptors are asked for a handler at every call. Two of them cost half as much as all that the gateway
does for an answer from its cache.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeAlias, TypeVar, cast

import grpc

Request = TypeVar("Request")
Response = TypeVar("Response")
Handler: TypeAlias = "grpc.RpcMethodHandler[object, object]"
Metadata = Iterable[tuple[str, str | bytes]]


class Interceptor(Protocol):
    """Stands around every handler of a server."""

    def call_comes(self, metadata: Metadata) -> None:
        """A call with this metadata came in. In the context that its handler will run in; must never raise."""
        ...

    def around(self, method: str, handler: Handler) -> Handler:
        """The handler to serve in place of `handler`, which is that of `method`: the full name, with its slashes."""
        ...


class InterceptedHandlers(grpc.GenericRpcHandler):
    """The methods of `services`, each within `interceptors`, of which the first is the outermost."""

    def __init__(self, services: Sequence[grpc.GenericRpcHandler], interceptors: Sequence[Interceptor]) -> None:
        self._services = tuple(services)
        self._interceptors = tuple(interceptors)
        self._handlers: dict[str, Handler] = {}

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Request, Response] | None":
        handler = self._handlers.get(handler_call_details.method) or self._found(handler_call_details)
        if handler is not None:
            metadata = handler_call_details.invocation_metadata or ()
            for interceptor in self._interceptors:
                interceptor.call_comes(metadata)
        return cast("grpc.RpcMethodHandler[Request, Response] | None", handler)

    def _found(self, details: grpc.HandlerCallDetails) -> "Handler | None":
        """Names that no service has are not kept: whoever calls may make up any number of them."""
        for service in self._services:
            handler: Handler | None = service.service(details)
            if handler is not None:
                for interceptor in reversed(self._interceptors):
                    handler = interceptor.around(details.method, handler)
                self._handlers[details.method] = handler
                return handler
        return None
