"""A gateway with access control over the in-memory registry, and clients of it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc

from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from portus_gateway.access.authentication import Authentication
from portus_gateway.access.caller_limits import CallerLimits
from portus_gateway.devregistry import DevRegistry
from portus_gateway.distribution import Configuration, Credentials, DistributionClient, StaticPassword
from portus_gateway.operations.audited_deletion import AuditedDeletion
from portus_gateway.operations.deletion_audit import DeletionAudit
from portus_gateway.operations.guarded_deletion import GuardedDeletion
from portus_gateway.registry.authorized import AuthorizedRegistry
from portus_gateway.rpc.caller_interceptor import CallerInterceptor
from portus_gateway.rpc.server import FinishedCall, GatewayServer, ServerLimits
from tests.access.policies import TEAM_A, Fixed, parsed

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub


class _Unobserved:
    def call_started(self, method: str) -> None:
        pass

    def call_finished(self, call: FinishedCall) -> None:
        pass


@asynccontextmanager
async def gateway(
    registry: DevRegistry,
    authentication: Authentication,
    *,
    policy: str | Fixed | None = TEAM_A,
    limits: CallerLimits | None = None,
    audit: DeletionAudit | None = None,
    reflection_open: bool = False,
    credentials: grpc.ServerCredentials | None = None,
) -> AsyncIterator[str]:
    """Serves a gateway; answers with its address."""
    configuration = Configuration(
        url=registry.url,
        credentials=Credentials(registry.username, StaticPassword(registry.password)),
        token_realm=registry.realm,
    )
    source = Fixed(parsed(policy)) if isinstance(policy, str) else policy
    async with DistributionClient(configuration) as client:
        authorized = client if source is None else AuthorizedRegistry(client, source)
        deletion = GuardedDeletion(authorized, enabled=True, concurrency=2)
        server = GatewayServer(
            registry=authorized,
            deletion=deletion if audit is None else AuditedDeletion(deletion, audit),
            listen="127.0.0.1:0",
            limits=ServerLimits(),
            deletion_enabled=True,
            observer=_Unobserved(),
            gateway_version="1.0.0",
            credentials=credentials,
            interceptors=[
                CallerInterceptor(
                    authentication=authentication,
                    policy=source,
                    limits=limits,
                    audit=audit,
                    reflection_open=reflection_open,
                )
            ],
        )
        port = await server.start()
        try:
            # The name in the certificates.
            yield f"localhost:{port}"
        finally:
            await server.drain(0.1)


@asynccontextmanager
async def channel(address: str, credentials: grpc.ChannelCredentials | None = None) -> AsyncIterator[grpc.aio.Channel]:
    """A channel with a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    opened = (
        grpc.aio.insecure_channel(address, options)
        if credentials is None
        else grpc.aio.secure_channel(address, credentials, options)
    )
    async with opened:
        yield opened


def stub(opened: grpc.aio.Channel) -> "RegistryServiceAsyncStub":
    return RegistryServiceStub(opened)


def bearer(token: str) -> Sequence[tuple[str, str]]:
    """The metadata that shows a token."""
    return (("authorization", f"Bearer {token}"),)
