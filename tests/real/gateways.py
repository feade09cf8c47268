"""A gateway over a registry, and its gRPC client on loopback."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, PreconditionFailure, ResourceInfo, RetryInfo
from google.rpc.status_pb2 import Status

from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from portus_gateway.distribution import Configuration, DistributionClient
from portus_gateway.operations.guarded_deletion import GuardedDeletion
from portus_gateway.registry.cached import CachedRegistry, Outcome
from portus_gateway.registry.coalesced import CoalescedRegistry
from portus_gateway.registry.fresh import FreshRegistry
from portus_gateway.rpc.server import FinishedCall, GatewayServer, ServerLimits

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

DOMAIN = "portus-gateway"
_DETAILS = "grpc-status-details-bin"
# Longer than any call of these tests takes.
_LIMITS = ServerLimits(max_call_duration=20.0, max_stream_duration=30.0)


class _Unobserved:
    def call_started(self, method: str) -> None:
        pass

    def call_finished(self, call: FinishedCall) -> None:
        pass

    def manifest_answered(self, outcome: Outcome) -> None:
        pass

    def cache_resized(self, size: int, entries: int) -> None:
        pass


@asynccontextmanager
async def gateway_over(
    configuration: Configuration,
    *,
    deletion_enabled: bool = True,
    decorated: bool = True,
    emulate_tag_deletion: bool = False,
) -> "AsyncIterator[RegistryServiceAsyncStub]":
    """Serves a gateway, and yields a client of it.

    `decorated`: with the cache and shared requests, as in `portus-gateway serve`.
    """
    async with DistributionClient(configuration) as registry, CoalescedRegistry(registry) as coalesced:
        cached = CachedRegistry(coalesced, 1024 * 1024, _Unobserved())
        fresh = FreshRegistry(registry, cached)
        server = GatewayServer(
            registry=cached if decorated else registry,
            deletion=GuardedDeletion(
                fresh if decorated else registry,
                deletion_enabled,
                _LIMITS.max_upstream_requests,
                emulate_tag_deletion=emulate_tag_deletion,
            ),
            listen="127.0.0.1:0",
            limits=_LIMITS,
            deletion_enabled=deletion_enabled,
            observer=_Unobserved(),
            gateway_version="1.0.0",
        )
        port = await server.start()
        try:
            options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
                yield RegistryServiceStub(channel)
        finally:
            await server.drain(1.0)


@dataclass(frozen=True, slots=True)
class Failure:
    """The status of a failed call, or of a part that is missing in an answer."""

    code: grpc.StatusCode
    reason: str
    message: str
    resource: str
    """The resource of the error, as `type name`. Empty if it names none."""
    violations: tuple[str, ...]
    """The subjects of a failed precondition, such as tags."""
    retry_delay: float | None
    """Seconds to wait before a retry."""

    @classmethod
    def of(cls, status: Status) -> "Failure":
        information, resource = ErrorInfo(), ResourceInfo()
        precondition, retry = PreconditionFailure(), RetryInfo()
        found = {
            detail.DESCRIPTOR.full_name
            for packed in status.details
            for detail in (information, resource, precondition, retry)
            if packed.Unpack(detail)
        }
        assert information.domain == DOMAIN, f"an error without the gateway's ErrorInfo: {status}"
        return cls(
            code=next(code for code in grpc.StatusCode if code.value[0] == status.code),
            reason=information.reason,
            message=status.message,
            resource=f"{resource.resource_type} {resource.resource_name}".strip(),
            violations=tuple(violation.subject for violation in precondition.violations),
            retry_delay=retry.retry_delay.ToTimedelta().total_seconds()
            if RetryInfo.DESCRIPTOR.full_name in found
            else None,
        )

    @property
    def kind(self) -> tuple[grpc.StatusCode, str]:
        """The status code and the reason."""
        return self.code, self.reason


async def failure_of(call: Awaitable[object]) -> Failure:
    """The failure of the call. A call that succeeds fails the test."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    error = raised.value
    trailing = error.trailing_metadata() or grpc.aio.Metadata()
    details = cast("bytes | None", trailing.get(_DETAILS))
    assert details is not None, f"an error without details: {error.code()} {error.details()}"
    failure = Failure.of(Status.FromString(details))
    assert (error.code(), error.details()) == (failure.code, failure.message)
    return failure
