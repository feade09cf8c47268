import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import ListTagsRequest, ListTagsResponse, ResolveManifestRequest
from portus_gateway.distribution.errors import NotFound, Unreachable
from portus_gateway.operations.guarded_deletion import GuardedDeletion
from portus_gateway.rpc import boundary
from portus_gateway.rpc.open_services import OPEN_METHODS
from portus_gateway.rpc.server import FinishedCall, GatewayServer, ServerLimits
from tests.rpc.failures import failure_of
from tests.rpc.gateways import (
    FAILING,
    REQUESTS,
    SERVICE,
    SINGLE,
    VERSION,
    connected,
    finish,
    serve,
    serve_behaviour,
    serve_handler,
    soon,
)
from tests.rpc.interceptors import Raising
from tests.rpc.scripted_registry import Gate, ScriptedRegistry, raising

LIST_TAGS = ListTagsRequest(repository="team/app")
RESOLVE = ResolveManifestRequest(repository="team/app", tag="1.0")
Logs = list[MutableMapping[str, object]]
Context = grpc.aio.ServicerContext[bytes, bytes]
SECRET = "http://admin:hunter2@registry"

Request = TypeVar("Request")
Response = TypeVar("Response")


async def request_id_of(call: "grpc.aio.UnaryUnaryCall[Request, Response]") -> str:
    return str(dict(await call.trailing_metadata())["x-request-id"])


# --- What goes wrong inside -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rpc", SINGLE)
async def test_an_uncaught_exception_is_a_bug_whose_text_stays_in_the_log(rpc: str, logs: Logs) -> None:
    async with serve(ScriptedRegistry(raising(ValueError(SECRET)))) as gateway:
        failed = await failure_of(finish(gateway.channel, rpc, metadata=(("x-request-id", "caller-7"),)))
    assert (failed.code, failed.reason, failed.domain) == (grpc.StatusCode.INTERNAL, "BUG", "portus-gateway")
    assert "caller-7" in failed.message
    assert "hunter2" not in failed.message
    assert [(log["request_id"], log["method"]) for log in logs] == [("caller-7", f"/{SERVICE}/{rpc}")]
    assert isinstance(logs[0]["exc_info"], ValueError)


@pytest.mark.parametrize("rpc", SINGLE)
async def test_a_cancellation_of_something_else_is_unavailable_and_no_silence(rpc: str) -> None:
    async with serve(ScriptedRegistry(raising(asyncio.CancelledError()))) as gateway:
        failed = await failure_of(finish(gateway.channel, rpc))
    assert failed.outcome == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNAVAILABLE")


async def test_a_shared_task_that_is_cancelled_does_not_take_its_callers_with_it() -> None:
    started = asyncio.Event()

    async def share() -> None:
        started.set()
        await asyncio.Event().wait()

    shared = asyncio.create_task(share())

    async def wait_for_shared(_: str) -> None:
        await asyncio.shield(shared)

    async with serve(ScriptedRegistry(wait_for_shared)) as gateway:
        calls = [asyncio.ensure_future(failure_of(gateway.stub.ResolveManifest(RESOLVE, timeout=5))) for _ in range(3)]
        await soon(started.wait())
        await soon(gateway.calls.came_in(3))
        shared.cancel()
        failed = await asyncio.gather(*calls)
    assert {failure.outcome for failure in failed} == {(grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNAVAILABLE")}


async def test_misuse_of_grpc_inside_is_a_bug_too() -> None:
    async def send_metadata_twice(_: object, context: Context) -> ListTagsResponse:
        await context.send_initial_metadata(())
        await context.send_initial_metadata(())
        raise AssertionError("metadata was sent twice")

    async with serve_behaviour(send_metadata_twice) as (_, _, channel):
        failed = await failure_of(finish(channel, "ListTags"))
    assert failed.outcome == (grpc.StatusCode.INTERNAL, "BUG")


@pytest.mark.parametrize("rpc", ["ListTags", "StreamCatalog"])
async def test_an_interceptor_that_fails_leaks_nothing_either(rpc: str) -> None:
    async with serve(ScriptedRegistry(), interceptors=[Raising(ValueError(SECRET))]) as gateway:
        failed = await failure_of(finish(gateway.channel, rpc))
    assert failed.outcome == (grpc.StatusCode.INTERNAL, "BUG")
    assert "hunter2" not in failed.message


@pytest.mark.parametrize("rpc", ["ListTags", "StreamCatalog"])
async def test_an_interceptor_that_is_cancelled_by_something_else_is_no_silence(rpc: str) -> None:
    async with serve(ScriptedRegistry(), interceptors=[Raising(asyncio.CancelledError())]) as gateway:
        failed = await failure_of(finish(gateway.channel, rpc))
    assert failed.outcome == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNAVAILABLE")


async def test_an_interceptor_may_refuse_with_errors_of_the_table() -> None:
    async with serve(ScriptedRegistry(), interceptors=[Raising(NotFound("not for you"))]) as gateway:
        failed = await failure_of(gateway.stub.ListTags(LIST_TAGS))
    assert (failed.code, failed.message) == (grpc.StatusCode.NOT_FOUND, "not for you")


async def test_a_method_whose_caller_streams_gets_all_requests() -> None:
    async def count(requests: AsyncIterator[ListTagsRequest], _: object) -> ListTagsResponse:
        return ListTagsResponse(tags=[request.repository async for request in requests])

    handler = grpc.stream_unary_rpc_method_handler(
        count,
        ListTagsRequest.FromString,
        ListTagsResponse.SerializeToString,
    )
    async with serve_handler(handler, "another.Service") as (_, _, channel):
        method: grpc.aio.StreamUnaryMultiCallable[ListTagsRequest, ListTagsResponse] = channel.stream_unary(
            "/another.Service/ListTags", ListTagsRequest.SerializeToString, ListTagsResponse.FromString
        )
        answer = await soon(method(iter([ListTagsRequest(repository=name) for name in "ab"])))
    assert answer.tags == ["a", "b"]


async def test_a_status_that_a_handler_sends_itself_is_passed_on_and_observed() -> None:
    async def refuse(_: object, context: Context) -> ListTagsResponse:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")

    async with serve_behaviour(refuse) as (_, calls, channel):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await finish(channel, "ListTags")
        assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.UNAUTHENTICATED, "who are you?")
        await soon(calls.ended.wait())
        assert [call.code for call in calls.finished] == [grpc.StatusCode.UNAUTHENTICATED]


@pytest.mark.parametrize("rpc", REQUESTS)
async def test_bytes_that_are_no_message_are_the_callers_fault(rpc: str) -> None:
    registry = ScriptedRegistry()
    async with serve(registry) as gateway:
        failed = await failure_of(finish(gateway.channel, rpc, b"\x0a\xff"))
    assert failed.outcome == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert list(failed.fields) == ["request"]
    assert registry.asked == []


async def test_a_method_that_there_is_not_is_unimplemented_and_not_observed() -> None:
    async with serve(ScriptedRegistry()) as gateway:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await finish(gateway.channel, "Nonsense", b"")
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert gateway.calls.started == []


# --- The request id ---------------------------------------------------------------------------------------------


async def test_a_request_id_comes_back_with_an_answer_and_with_an_error() -> None:
    async with serve(ScriptedRegistry()) as gateway:
        answered = gateway.stub.ListTags(LIST_TAGS, metadata=(("x-request-id", "abc-123"),))
        assert await request_id_of(answered) == "abc-123"
        await answered
        refused = gateway.stub.ListTags(ListTagsRequest(), metadata=(("x-request-id", "abc-124"),))
        assert await request_id_of(refused) == "abc-124"
        assert await refused.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert [call.request_id for call in gateway.calls.finished] == ["abc-123", "abc-124"]


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129])
async def test_a_request_id_that_is_not_sane_is_replaced(sent: str) -> None:
    async with serve(ScriptedRegistry()) as gateway:
        call = gateway.stub.ListTags(LIST_TAGS, metadata=(("x-request-id", sent),))
        given = await request_id_of(call)
        await call
        assert [call.request_id for call in gateway.calls.finished] == [given]
    assert len(given) == 32
    assert given != sent


async def test_calls_without_a_request_id_get_each_their_own() -> None:
    async with serve(ScriptedRegistry()) as gateway:
        given = {await request_id_of(gateway.stub.ListTags(LIST_TAGS)) for _ in range(3)}
    assert len(given) == 3
    assert all(len(request_id) == 32 for request_id in given)


# --- Time -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rpc", FAILING)
async def test_what_is_left_of_the_callers_deadline_reaches_the_registry_call(rpc: str) -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(gate)) as gateway:
        call = asyncio.ensure_future(finish(gateway.channel, rpc, timeout=30))
        await soon(gate.entered.wait())
        call.cancel()
    assert gate.remaining is not None
    # gRPC rounds it up on the wire.
    assert 20 < gate.remaining < 31


@pytest.mark.parametrize("rpc", FAILING)
async def test_a_deadline_that_runs_out_ends_the_registry_call(rpc: str) -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(gate)) as gateway:
        # The deadline is for the call alone, not for the connection.
        await soon(gateway.channel.channel_ready())
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await finish(gateway.channel, rpc, timeout=0.3)
        await soon(gate.cancelled.wait())
    assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_call_that_ends_after_its_callers_deadline_is_observed_as_late() -> None:
    async def take_time(_: ListTagsRequest, __: object) -> ListTagsResponse:
        # The gateway's own timer and gRPC cancel it, in any order, or both before it runs again.
        with suppress(asyncio.CancelledError):
            await asyncio.Future[None]()
        await asyncio.sleep(0.5)
        raise asyncio.CancelledError

    async with serve_behaviour(take_time) as (_, calls, channel):
        await soon(channel.channel_ready())
        with pytest.raises(grpc.aio.AioRpcError):
            await finish(channel, "ListTags", timeout=0.3)
        await soon(calls.ended.wait())
    assert [call.code for call in calls.finished] == [grpc.StatusCode.DEADLINE_EXCEEDED]


@pytest.mark.parametrize("rpc", FAILING)
async def test_a_caller_without_a_deadline_gets_the_gateways(rpc: str) -> None:
    gate = Gate()
    limits = ServerLimits(max_call_duration=0.1, max_stream_duration=0.1)
    async with serve(ScriptedRegistry(gate), limits=limits) as gateway:
        failed = await soon(failure_of(finish(gateway.channel, rpc, timeout=None)))
        assert gate.cancelled.is_set()
        assert [call.code for call in gateway.calls.finished] == [grpc.StatusCode.DEADLINE_EXCEEDED]
    assert failed.outcome == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


async def test_the_gateways_limit_goes_before_a_later_deadline() -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(gate), limits=ServerLimits(max_call_duration=0.1)) as gateway:
        failed = await soon(failure_of(gateway.stub.ListTags(LIST_TAGS, timeout=60)))
    assert failed.outcome == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


async def test_a_stream_may_take_longer_than_a_call() -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(gate), limits=ServerLimits(max_call_duration=0.05)) as gateway:
        stream = asyncio.ensure_future(finish(gateway.channel, "StreamCatalog", timeout=None))
        await soon(failure_of(finish(gateway.channel, "ListTags", timeout=None)))
        gate.open.set()
        assert len(await soon(stream)) == 1


@pytest.mark.parametrize(
    "method", ["/grpc.health.v1.Health/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"]
)
async def test_a_call_that_needs_no_credential_ends_at_the_limit_of_its_method(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        await asyncio.Future()
        yield b""

    async def end_of(call: "grpc.aio.StreamStreamCall[bytes, bytes]") -> None:
        async for _ in call:
            pass

    bounded = {method: replace(OPEN_METHODS[method], seconds=0.2)}
    monkeypatch.setattr(boundary, "OPEN_METHODS", {**OPEN_METHODS, **bounded})
    async with serve(ScriptedRegistry()) as gateway:
        begin: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = gateway.channel.stream_stream(method)
        failed = await soon(failure_of(end_of(begin(nothing()))))
    assert failed.outcome == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


@pytest.mark.parametrize("rpc", FAILING)
async def test_a_caller_who_goes_away_ends_the_registry_call(rpc: str) -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(gate)) as gateway:
        call = asyncio.ensure_future(finish(gateway.channel, rpc))
        await soon(gate.entered.wait())
        call.cancel()
        await soon(gate.cancelled.wait())
        await soon(gateway.calls.ended.wait())
        assert [(call.code, call.reason) for call in gateway.calls.finished] == [(grpc.StatusCode.CANCELLED, "")]


async def test_a_connection_that_breaks_ends_the_registry_call() -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(gate)) as gateway:
        async with connected(gateway.port) as channel:
            call = asyncio.ensure_future(finish(channel, "ListTags"))
            await soon(gate.entered.wait())
        await soon(gate.cancelled.wait())
        await asyncio.gather(call, return_exceptions=True)


@pytest.mark.parametrize("rpc", FAILING)
async def test_an_error_without_a_caller_left_is_not_logged(rpc: str, caplog: pytest.LogCaptureFixture) -> None:
    entered = asyncio.Event()

    async def fail_when_cancelled(_: str) -> None:
        entered.set()
        try:
            await asyncio.Future()
        except asyncio.CancelledError:
            raise Unreachable("too late") from None

    async with serve(ScriptedRegistry(fail_when_cancelled)) as gateway:
        call = asyncio.ensure_future(finish(gateway.channel, rpc))
        await soon(entered.wait())
        call.cancel()
        await soon(gateway.calls.ended.wait())
        await asyncio.gather(call, return_exceptions=True)
        await asyncio.sleep(0.05)
    assert [record.getMessage() for record in caplog.records] == []


async def test_a_result_that_is_there_after_its_caller_went_away_is_sent_to_nobody() -> None:
    entered, ending = asyncio.Event(), asyncio.Event()

    async def carry_through(_: ListTagsRequest, __: object) -> ListTagsResponse:
        entered.set()
        try:
            await asyncio.Future[None]()
        except asyncio.CancelledError:
            ending.set()
        return ListTagsResponse()

    async with serve_behaviour(carry_through) as (_, calls, channel):
        call = asyncio.ensure_future(finish(channel, "ListTags"))
        await soon(entered.wait())
        call.cancel()
        await soon(ending.wait())
        await soon(calls.ended.wait())
        await asyncio.gather(call, return_exceptions=True)
        assert [(call.code, call.reason) for call in calls.finished] == [(grpc.StatusCode.CANCELLED, "")]


@pytest.mark.parametrize("rpc", FAILING)
async def test_a_deadline_that_has_ended_the_call_already_is_not_logged(
    rpc: str, caplog: pytest.LogCaptureFixture
) -> None:
    # The gateway's deadline and that of gRPC pass at the same time: now one comes first, now the other.
    async with serve(ScriptedRegistry(Gate())) as gateway:
        await asyncio.gather(
            *(finish(gateway.channel, rpc, timeout=0.1 + number / 1000) for number in range(40)),
            return_exceptions=True,
        )
        await asyncio.sleep(0.1)
    assert [record.getMessage() for record in caplog.records] == []


# --- Observation ------------------------------------------------------------------------------------------------


async def test_the_observer_learns_the_outcome_of_a_call() -> None:
    async with serve(ScriptedRegistry(raising(NotFound("gone", reason="NAME_UNKNOWN")))) as gateway:
        await failure_of(gateway.stub.ListTags(LIST_TAGS, metadata=(("x-request-id", "abc"),)))
        await finish(gateway.channel, "GetRegistryInfo")
        assert gateway.calls.started == [f"/{SERVICE}/ListTags", f"/{SERVICE}/GetRegistryInfo"]
        refused, answered = gateway.calls.finished
    assert (refused.method, refused.code, refused.reason) == (
        f"/{SERVICE}/ListTags",
        grpc.StatusCode.NOT_FOUND,
        "NAME_UNKNOWN",
    )
    assert (refused.request_id, refused.repository) == ("abc", "team/app")
    assert refused.peer.startswith("ipv4:127.0.0.1:")
    assert refused.seconds > 0
    assert (answered.code, answered.reason, answered.repository) == (grpc.StatusCode.OK, "", "")


async def test_an_observer_that_fails_harms_no_call(logs: Logs) -> None:
    class Broken:
        def call_started(self, method: str) -> None:
            raise ValueError(method)

        def call_finished(self, call: FinishedCall) -> None:
            raise ValueError(call.method)

    registry = ScriptedRegistry()
    server = GatewayServer(
        registry=registry,
        deletion=GuardedDeletion(registry, enabled=True, concurrency=1),
        listen="127.0.0.1:0",
        limits=ServerLimits(),
        deletion_enabled=True,
        observer=Broken(),
        gateway_version=VERSION,
    )
    port = await server.start()
    async with connected(port) as channel:
        assert len(await finish(channel, "ListTags")) == 1
    await server.drain(0)
    assert [log["event"] for log in logs] == ["the observer of calls failed"] * 2
