"""Interceptors such as may come between the boundary and the service."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

import grpc

Request = TypeVar("Request")
Response = TypeVar("Response")
Handler: TypeAlias = "grpc.RpcMethodHandler[Request, Response]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler[Request, Response] | None]]"
Context: TypeAlias = "grpc.aio.ServicerContext[Request, Response]"


class Interceptor(grpc.aio.ServerInterceptor):
    """Passes everything on, through `before` and `around`."""

    async def intercept_service(
        self,
        continuation: "Continuation[Request, Response]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler[Request, Response] | None":
        await self.before()
        handler = await continuation(handler_call_details)
        return None if handler is None else self.around(handler)

    async def before(self) -> None:
        """Comes before the method is looked up."""

    def around(self, inner: "Handler[Request, Response]") -> "Handler[Request, Response]":
        """The handler to serve in place of `inner`."""
        return inner


class Raising(Interceptor):
    """Fails before there is a handler."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    async def before(self) -> None:
        raise self._error


class Refusing(Interceptor):
    """Answers every unary call with UNAUTHENTICATED."""

    def around(self, inner: "Handler[Request, Response]") -> "Handler[Request, Response]":
        async def refuse(_: Request, context: "Context[Request, Response]") -> Response:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")

        return grpc.unary_unary_rpc_method_handler(refuse, inner.request_deserializer, inner.response_serializer)


class SendingMetadataTwice(Interceptor):
    """Misuses gRPC, which has an error of its own for that."""

    def around(self, inner: "Handler[Request, Response]") -> "Handler[Request, Response]":
        async def misuse(_: Request, context: "Context[Request, Response]") -> Response:
            await context.send_initial_metadata(())
            await context.send_initial_metadata(())
            raise AssertionError("metadata went out twice")

        return grpc.unary_unary_rpc_method_handler(misuse, inner.request_deserializer, inner.response_serializer)
