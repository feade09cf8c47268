"""Interceptors such as may come between the boundary and the services."""

from collections.abc import AsyncGenerator

import grpc

from portus_gateway.rpc.interception import Handler, Metadata

Context = grpc.aio.ServicerContext[object, object]


class Interceptor:
    """Passes everything on."""

    def call_comes(self, metadata: Metadata) -> None:
        pass

    def around(self, method: str, handler: Handler) -> Handler:
        return handler


class Raising(Interceptor):
    """Fails before the handler."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def around(self, method: str, handler: Handler) -> Handler:
        async def fail(_: object, __: Context) -> object:
            raise self._error

        async def fail_streaming(_: object, __: Context) -> AsyncGenerator[object, None]:
            raise self._error
            yield  # a generator

        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                fail_streaming, handler.request_deserializer, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(fail, handler.request_deserializer, handler.response_serializer)


class Refusing(Interceptor):
    """Answers every unary call with UNAUTHENTICATED."""

    def around(self, method: str, handler: Handler) -> Handler:
        async def refuse(_: object, context: Context) -> object:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")

        return grpc.unary_unary_rpc_method_handler(refuse, handler.request_deserializer, handler.response_serializer)


class SendingMetadataTwice(Interceptor):
    """Misuses gRPC, which has an error of its own for that."""

    def around(self, method: str, handler: Handler) -> Handler:
        async def misuse(_: object, context: Context) -> object:
            await context.send_initial_metadata(())
            await context.send_initial_metadata(())
            raise AssertionError("metadata went out twice")

        return grpc.unary_unary_rpc_method_handler(misuse, handler.request_deserializer, handler.response_serializer)
