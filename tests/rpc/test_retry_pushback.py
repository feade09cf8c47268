"""The pushback of failed calls, and how a client with the service config follows it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from aiohttp import web

from portus.registry.v1.registry_service_pb2 import ResolveManifestRequest
from portus_gateway.access.errors import CallerRateExceeded, KeysUnavailable, Unauthenticated
from portus_gateway.distribution import Configuration, DistributionClient, RetryPolicy, Timeouts
from portus_gateway.distribution.errors import DeleteOutcomeUnknown, NotFound, Unreachable, UpstreamTimeout
from portus_gateway.errors import GatewayError
from portus_gateway.rpc.call_errors import ShuttingDown, TooManyCalls, TooManyUnreadAnswers, WaitInterrupted
from portus_gateway.rpc.retry_pushback import METADATA_KEY, retry_pushback
from tests.distribution.upstream import Upstream
from tests.rpc.gateways import connected, finish, serve
from tests.rpc.scripted_registry import Hook, ScriptedRegistry

RESOLVE = ResolveManifestRequest(repository="team/app", tag="1.0")


@pytest.mark.parametrize(
    ("error", "reported"),
    [
        (Unreachable("gone"), "-1"),
        (UpstreamTimeout("slow"), "-1"),
        (DeleteOutcomeUnknown("who knows"), "-1"),
        (ShuttingDown(), "200"),
        (TooManyCalls("full"), "1000"),
        (TooManyUnreadAnswers("full"), "1000"),
        (TooManyCalls("full", retry_after=2.5), "2500"),
        (WaitInterrupted(), None),
        (KeysUnavailable("later"), None),
        (CallerRateExceeded("slow down", retry_after=1), None),
        (NotFound("none"), None),
        (Unauthenticated("who?"), None),
    ],
)
def test_who_may_try_again(error: GatewayError, reported: str | None) -> None:
    assert retry_pushback(error) == reported


@asynccontextmanager
async def retrying(port: int, service_config: str) -> AsyncIterator[grpc.aio.Channel]:
    """A channel as the clients open it, that tries again where the service config says so."""
    options = (("grpc.service_config", service_config), ("grpc.use_local_subchannel_pool", 1))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        yield channel


@pytest.mark.parametrize("attempts", [1, 3])
async def test_retries_of_a_client_do_not_multiply_those_of_the_gateway(service_config: str, attempts: int) -> None:
    async def ill(_: web.Request) -> web.Response:
        return web.json_response({"errors": [{"code": "UNAVAILABLE"}]}, status=503)

    async with Upstream() as registry:
        registry.script(ill)
        configuration = Configuration(
            url=registry.url,
            retries=RetryPolicy(attempts=attempts, first_delay=0.01, longest_delay=0.01),
            timeouts=Timeouts(connect=2, read=5, total=5, delete=5),
        )
        async with (
            DistributionClient(configuration) as client,
            serve(client) as gateway,
            retrying(gateway.port, service_config) as channel,
        ):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await finish(channel, "ResolveManifest", RESOLVE)
        assert failed.value.code() == grpc.StatusCode.UNAVAILABLE
        assert dict(failed.value.trailing_metadata() or ())[METADATA_KEY] == "-1"
        assert len(registry.requests) == attempts


def failing_at_first(*errors: GatewayError) -> Hook:
    remaining = iter(errors)

    async def fail(_: str) -> None:
        for error in remaining:
            raise error

    return fail


async def test_a_client_tries_again_where_the_gateway_has_not(service_config: str) -> None:
    registry = ScriptedRegistry(failing_at_first(WaitInterrupted(), KeysUnavailable("later")))
    async with serve(registry) as gateway, retrying(gateway.port, service_config) as channel:
        assert len(await finish(channel, "ResolveManifest")) == 1
    assert registry.asked == ["resolve_manifest"] * 3


async def test_a_client_waits_as_long_as_the_pushback_says(service_config: str) -> None:
    registry = ScriptedRegistry(failing_at_first(ShuttingDown()))
    async with serve(registry) as gateway, retrying(gateway.port, service_config) as channel:
        begun = time.monotonic()
        assert len(await finish(channel, "ResolveManifest")) == 1
        # Its own first delay is at most 0.2 s, and random.
        assert time.monotonic() - begun >= 0.2
    assert registry.asked == ["resolve_manifest"] * 2


async def test_a_client_without_retries_sees_the_error_as_before() -> None:
    async with serve(ScriptedRegistry(failing_at_first(Unreachable("gone")))) as gateway:
        async with connected(gateway.port) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await finish(channel, "ResolveManifest")
        assert failed.value.code() == grpc.StatusCode.UNAVAILABLE
