"""Gateways over the in-memory registry or a real one, in plaintext or with TLS and a token."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from portus.registry.v1.registry_service_pb2 import GetRegistryInfoRequest, IndexStatus
from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from portus_gateway import __version__, app
from portus_gateway.access.authentication import Authentication
from portus_gateway.access.token_file import TokenFile
from portus_gateway.devregistry import DevRegistry
from portus_gateway.distribution import Configuration, Credentials, DistributionClient, StaticPassword
from portus_gateway.operations.guarded_deletion import GuardedDeletion
from portus_gateway.rpc.caller_interceptor import CallerInterceptor
from portus_gateway.rpc.interception import Interceptor
from portus_gateway.rpc.server import FinishedCall, GatewayServer, ServerLimits
from portus_gateway.settings import load
from tests.e2e.gateway_process import gateway_process
from tests.index.registries import until


class _Unobserved:
    def call_started(self, method: str) -> None:
        pass

    def call_finished(self, call: FinishedCall) -> None:
        pass


def requiring(tokens: Path) -> CallerInterceptor:
    """Requires one of the tokens whose hashes are in the file."""
    return CallerInterceptor(
        authentication=Authentication(bearers=[TokenFile(tokens)], certificates=False, anonymous=False),
        policy=None,
        limits=None,
        audit=None,
        reflection_open=False,
    )


def configuration_of(registry: DevRegistry) -> Configuration:
    """The configuration for the in-memory registry."""
    return Configuration(
        url=registry.url,
        credentials=Credentials(registry.username, StaticPassword(registry.password)),
        token_realm=registry.realm,
    )


@asynccontextmanager
async def dev_gateway(*arguments: str) -> AsyncIterator[str]:
    """Runs `portus-gateway dev`. Gives its address."""
    async with gateway_process("dev", *arguments) as running:
        await running.event("registry ready")
        yield running.address


@asynccontextmanager
async def indexed_gateway(url: str, folder: Path) -> AsyncIterator[str]:
    """A gateway with an index, over a registry that needs no credentials. Gives its address once the index is ready."""
    settings: dict[str, str | bool | None] = {
        "registry_url": url,
        "registry_anonymous": True,
        "listen": "127.0.0.1:0",
        "allow_delete": True,
        "audit_log": str(folder / "audit.log"),
        "index": f"sqlite://{folder}/index.db",
    }
    async with app.running(load(settings)) as served, grpc.aio.insecure_channel(str(served.address)) as channel:
        stub = RegistryServiceStub(channel)

        async def is_ready() -> bool:
            info = await stub.GetRegistryInfo(GetRegistryInfoRequest())
            return info.index.state == IndexStatus.READY

        await until(is_ready)
        yield str(served.address)


@asynccontextmanager
async def gateway(
    configuration: Configuration,
    *,
    credentials: grpc.ServerCredentials | None = None,
    interceptors: Sequence[Interceptor] = (),
) -> AsyncIterator[str]:
    """Serves a gateway. Gives its address."""
    async with DistributionClient(configuration) as registry:
        server = GatewayServer(
            registry=registry,
            deletion=GuardedDeletion(registry, enabled=True, concurrency=2),
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
