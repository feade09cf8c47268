"""Gateways to call: over the in-memory registry or over a real one, in plaintext or with TLS and a token."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import grpc

from portus_gateway import __version__
from portus_gateway.devregistry import DevRegistry
from portus_gateway.distribution import Configuration, Credentials, DistributionClient, StaticPassword
from portus_gateway.rpc.server import FinishedCall, GatewayServer, ServerLimits
from tests.e2e.gateway_process import gateway_process

Request = TypeVar("Request")
Response = TypeVar("Response")


class _Unobserved:
    def call_started(self, method: str) -> None:
        pass

    def call_finished(self, call: FinishedCall) -> None:
        pass


class RequireToken(grpc.aio.ServerInterceptor):
    """Lets nobody in without the token."""

    def __init__(self, token: str) -> None:
        self._wanted = f"Bearer {token}"

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Request, Response] | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Request, Response] | None":
        handler = await continuation(handler_call_details)
        metadata = tuple(handler_call_details.invocation_metadata or ())
        if handler is None or ("authorization", self._wanted) in metadata:
            return handler

        async def refuse(_: Request, context: grpc.aio.ServicerContext[Request, Response]) -> Response:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token, or another one")

        async def refuse_stream(
            _: AsyncIterator[Request], context: grpc.aio.ServicerContext[Request, Response]
        ) -> AsyncIterator[Response]:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token, or another one")
            yield  # a generator

        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                refuse_stream, handler.request_deserializer, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(refuse, handler.request_deserializer, handler.response_serializer)


def configuration_of(registry: DevRegistry) -> Configuration:
    """How the gateway reaches the in-memory registry."""
    return Configuration(
        url=registry.url,
        credentials=Credentials(registry.username, StaticPassword(registry.password)),
        token_realm=registry.realm,
    )


@asynccontextmanager
async def dev_gateway(*arguments: str) -> AsyncIterator[str]:
    """Runs `portus-gateway dev`; answers with its address."""
    async with gateway_process("dev", *arguments) as running:
        await running.event("registry ready")
        yield running.address


@asynccontextmanager
async def gateway(
    configuration: Configuration,
    *,
    credentials: grpc.ServerCredentials | None = None,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
) -> AsyncIterator[str]:
    """Serves a gateway; answers with its address."""
    async with DistributionClient(configuration) as registry:
        server = GatewayServer(
            registry=registry,
            listen="127.0.0.1:0",
            limits=ServerLimits(),
            deletion_enabled=True,
            observer=_Unobserved(),
            gateway_version=__version__,
            credentials=credentials,
            interceptors=interceptors,
        )
        port = await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.drain(1.0)
