import asyncio
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack

import grpc
import pytest
from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from portus.registry.v1.registry_service_pb2 import ListTagsRequest, ListTagsResponse
from portus_gateway.distribution.errors import NotFound
from portus_gateway.operations.guarded_deletion import GuardedDeletion
from portus_gateway.rpc.interception import IncomingCall
from portus_gateway.rpc.server import GatewayServer, ServerLimits
from tests.rpc.failures import failure_of, reported_by
from tests.rpc.gateways import (
    FAILING,
    MESSAGES,
    PATIENCE,
    REQUESTS,
    SERVICE,
    Calls,
    Gateway,
    connected,
    finish,
    serve,
    serve_behaviour,
    soon,
)
from tests.rpc.health_calls import check, watch
from tests.rpc.interceptors import Interceptor
from tests.rpc.scripted_registry import Gate, ScriptedRegistry

NOT_SERVING = HealthCheckResponse.NOT_SERVING
LIST_TAGS = ListTagsRequest(repository="team/app")


class Coming(Interceptor):
    """Tells when a call has come in."""

    def __init__(self) -> None:
        self.came_in = asyncio.Event()

    async def enter(self, incoming: IncomingCall) -> None:
        self.came_in.set()


async def held_back(
    channel: grpc.aio.Channel, method: str, request: Message, released: asyncio.Event
) -> Sequence[bytes]:
    """A call whose request follows later: it has come in, and has not begun."""

    async def requests() -> AsyncGenerator[bytes, None]:
        await released.wait()
        yield request.SerializeToString()

    begin: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(method)
    return [response async for response in begin(requests(), timeout=PATIENCE)]


@pytest.mark.parametrize("rpc", FAILING)
async def test_a_call_that_runs_is_finished(rpc: str) -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(gate)) as gateway:
        call = asyncio.ensure_future(finish(gateway.channel, rpc))
        await soon(gate.entered.wait())
        drained = asyncio.ensure_future(gateway.server.drain(30))
        await asyncio.sleep(0)
        assert not drained.done()
        gate.open.set()
        assert len(await soon(call)) == MESSAGES.get(rpc, 1)
        # And the end does not wait for the grace.
        await soon(drained)


@pytest.mark.parametrize("rpc", REQUESTS)
async def test_a_call_that_has_not_begun_gets_shutting_down(rpc: str) -> None:
    registry, coming, released = ScriptedRegistry(), Coming(), asyncio.Event()
    async with serve(registry, interceptors=[coming]) as gateway:
        calling = held_back(gateway.channel, f"/{SERVICE}/{rpc}", REQUESTS[rpc], released)
        call = asyncio.ensure_future(failure_of(calling))
        await soon(coming.came_in.wait())
        drained = asyncio.ensure_future(gateway.server.drain(30))
        await asyncio.sleep(0)
        released.set()
        failed = await soon(call)
        await soon(drained)
    assert failed.outcome == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    assert registry.asked == []


async def test_a_check_that_has_not_begun_is_answered_not_serving() -> None:
    coming, released = Coming(), asyncio.Event()
    async with serve(ScriptedRegistry(), interceptors=[coming]) as gateway:
        calling = held_back(gateway.channel, "/grpc.health.v1.Health/Check", HealthCheckRequest(), released)
        call = asyncio.ensure_future(calling)
        await soon(coming.came_in.wait())
        drained = asyncio.ensure_future(gateway.server.drain(30))
        await asyncio.sleep(0)
        released.set()
        (answer,) = await soon(call)
        assert HealthCheckResponse.FromString(answer).status == NOT_SERVING
        await soon(drained)


@pytest.mark.parametrize("rpc", REQUESTS)
async def test_a_call_that_comes_in_meanwhile_is_refused_and_may_be_tried_again(rpc: str) -> None:
    registry = ScriptedRegistry()
    async with serve(registry) as gateway:
        await soon(check(gateway.channel))
        drained = asyncio.ensure_future(gateway.server.drain(30))
        await asyncio.sleep(0)
        call = asyncio.ensure_future(failure_of(finish(gateway.channel, rpc)))
        assert await check(gateway.channel) == NOT_SERVING
        failed = await soon(call)
        await soon(drained)
    assert failed.outcome == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    assert registry.asked == []


async def test_callers_that_call_again_and_again_are_told_of_the_shutdown_and_never_just_cancelled() -> None:
    """gRPC's core answers what comes after a stop with a bare CANCELLED, which no client retries."""
    ends: list[tuple[grpc.StatusCode, str]] = []

    async def call_until_it_fails(channel: grpc.aio.Channel) -> None:
        while True:
            try:
                await finish(channel, "ListTags")
            except grpc.aio.AioRpcError as error:
                ends.append(reported_by(error).outcome)
                return

    async with serve(ScriptedRegistry()) as gateway, AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(connected(gateway.port)) for _ in range(8)]
        callers = [asyncio.ensure_future(call_until_it_fails(channel)) for channel in channels * 2]
        for channel in channels:
            await soon(check(channel))
        await soon(gateway.server.drain(5))
        await soon(asyncio.gather(*callers))
    assert ends == [(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")] * len(callers)


async def test_a_new_call_is_unavailable_on_old_connections_and_on_new_ones() -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(gate)) as gateway, connected(gateway.port) as other:
        await soon(check(other))
        call = asyncio.ensure_future(finish(gateway.channel, "ListTags"))
        await soon(gate.entered.wait())
        drained = asyncio.ensure_future(gateway.server.drain(30))
        # Both get GOAWAY.
        for channel in (gateway.channel, other):
            await soon(channel.wait_for_state_change(grpc.ChannelConnectivity.READY))
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await finish(channel, "GetRegistryInfo")
            assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        gate.open.set()
        assert await soon(call)
        await soon(drained)


@pytest.mark.parametrize("rpc", ["ListTags", "StreamCatalog", "DeleteManifest"])
async def test_a_stuck_call_gets_a_reason_at_the_end_of_the_grace(rpc: str) -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(gate)) as gateway:
        call = asyncio.ensure_future(failure_of(finish(gateway.channel, rpc)))
        await soon(gate.entered.wait())
        # The status is sent in the last quarter: it needs some time on a busy machine.
        await soon(gateway.server.drain(1))
        failed = await soon(call)
        assert gate.cancelled.is_set()
        assert [(call.code, call.reason) for call in gateway.calls.finished] == [failed.outcome]
    assert failed.outcome == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")


@pytest.mark.parametrize("service", [SERVICE, "another.Service"])
async def test_at_the_end_all_calls_get_a_reason(service: str) -> None:
    entered = asyncio.Event()

    async def wait(_: ListTagsRequest, __: object) -> ListTagsResponse:
        entered.set()
        return await asyncio.Future[ListTagsResponse]()

    async with serve_behaviour(wait, service=service) as (boundary, _, channel):
        method: grpc.aio.UnaryUnaryMultiCallable[ListTagsRequest, bytes] = channel.unary_unary(
            f"/{service}/ListTags", ListTagsRequest.SerializeToString
        )
        call = asyncio.ensure_future(failure_of(method(LIST_TAGS)))
        await soon(entered.wait())
        boundary.end_calls()
        failed = await soon(call)
    assert failed.outcome == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")


async def test_a_call_that_is_ended_twice_gets_a_reason() -> None:
    entered, ending, tidied = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def wait_and_tidy_up(_: ListTagsRequest, __: object) -> ListTagsResponse:
        entered.set()
        try:
            return await asyncio.Future[ListTagsResponse]()
        finally:
            ending.set()
            await tidied.wait()

    async with serve_behaviour(wait_and_tidy_up, service="another.Service") as (boundary, _, channel):
        method: grpc.aio.UnaryUnaryMultiCallable[ListTagsRequest, bytes] = channel.unary_unary(
            "/another.Service/ListTags", ListTagsRequest.SerializeToString
        )
        call = asyncio.ensure_future(failure_of(method(LIST_TAGS)))
        await soon(entered.wait())
        boundary.end_unlimited_calls()
        await soon(ending.wait())
        boundary.end_calls()
        tidied.set()
        failed = await call
    assert failed.outcome == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")


async def test_a_call_that_is_ended_answers_with_what_it_has_found_out_meanwhile() -> None:
    entered = asyncio.Event()

    async def find_out(_: ListTagsRequest, __: object) -> ListTagsResponse:
        entered.set()
        try:
            return await asyncio.Future[ListTagsResponse]()
        except asyncio.CancelledError:
            raise NotFound("gone", reason="NAME_UNKNOWN") from None

    async with serve_behaviour(find_out) as (boundary, _, channel):
        call = asyncio.ensure_future(failure_of(finish(channel, "ListTags")))
        await soon(entered.wait())
        boundary.end_calls()
        failed = await soon(call)
    assert failed.outcome == (grpc.StatusCode.NOT_FOUND, "NAME_UNKNOWN")


async def test_a_call_that_heeds_no_cancellation_does_not_hold_up_the_end() -> None:
    entered, ended = asyncio.Event(), asyncio.Event()

    async def insist(_: str) -> None:
        entered.set()
        while not ended.is_set():
            try:
                await ended.wait()
            except asyncio.CancelledError:
                continue

    async with serve(ScriptedRegistry(insist)) as gateway:
        call = asyncio.ensure_future(gateway.stub.ListTags(LIST_TAGS))
        await soon(entered.wait())
        await soon(gateway.server.drain(0.1))
        ended.set()
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call
        assert failed.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


async def test_health_says_so_at_once_while_calls_go_on() -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(gate)) as gateway:
        watching = watch(gateway.channel)
        await soon(watching.read())
        call = asyncio.ensure_future(finish(gateway.channel, "ListTags"))
        await soon(gate.entered.wait())
        drained = asyncio.ensure_future(gateway.server.drain(30))
        assert await soon(watching.read()) == HealthCheckResponse(status=NOT_SERVING)
        assert not call.done()
        gate.open.set()
        await soon(call)
        await soon(drained)


async def drained_twice(gateway: Gateway) -> None:
    await asyncio.gather(gateway.server.drain(5), gateway.server.drain(5))
    await gateway.server.drain(5)


async def test_draining_twice_is_draining_once() -> None:
    async with serve(ScriptedRegistry()) as gateway:
        await finish(gateway.channel, "ListTags")
        await soon(drained_twice(gateway))
        await soon(gateway.server.wait())


async def test_whoever_stops_waiting_for_the_drain_does_not_stop_it() -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(gate)) as gateway:
        call = asyncio.ensure_future(finish(gateway.channel, "ListTags"))
        await soon(gate.entered.wait())
        drained = asyncio.ensure_future(gateway.server.drain(30))
        await asyncio.sleep(0)
        drained.cancel()
        gate.open.set()
        assert await soon(call)
        await soon(gateway.server.wait())


async def test_the_port_is_free_afterwards() -> None:
    async with serve(ScriptedRegistry()) as gateway:
        await finish(gateway.channel, "ListTags")
        await soon(gateway.server.drain(5))
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", gateway.port))


async def test_a_server_that_was_never_started_has_nothing_to_drain() -> None:
    registry = ScriptedRegistry()
    server = GatewayServer(
        registry=registry,
        deletion=GuardedDeletion(registry, enabled=True, concurrency=1),
        listen="127.0.0.1:0",
        limits=ServerLimits(),
        deletion_enabled=True,
        observer=Calls(),
        gateway_version="1.2.3",
    )
    await soon(server.drain(30))
    await soon(server.wait())
