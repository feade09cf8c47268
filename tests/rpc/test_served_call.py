"""What a call holds until its answer has been read, and when it is ended: for callers who read or send nothing."""

import asyncio
import struct
import time
from collections.abc import AsyncGenerator, MutableMapping

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse

from portus.registry.v1.registry_service_pb2 import ListTagsRequest, ListTagsResponse
from portus_gateway.access.errors import PermissionDenied
from portus_gateway.access.rpcs import Rpc
from portus_gateway.distribution import Repository
from portus_gateway.distribution.errors import NotFound, Unreachable
from portus_gateway.errors import GatewayError
from portus_gateway.rpc import served_call, serving
from portus_gateway.rpc.call_errors import TooManyCalls
from portus_gateway.rpc.interception import IncomingCall
from portus_gateway.rpc.served_call import ServedCall
from portus_gateway.rpc.server import ServerLimits
from portus_gateway.rpc.unread_answers import UnreadAnswers
from tests.attack.raw_http2 import END_STREAM, HEADERS, RST_STREAM, RawConnection
from tests.rpc.failures import failure_of
from tests.rpc.gateways import PATIENCE, REQUESTS, SERVICE, Gateway, finish, serve, serve_behaviour, soon
from tests.rpc.health_calls import check, watch
from tests.rpc.interceptors import Interceptor
from tests.rpc.scripted_registry import Gate, ScriptedRegistry, raising
from tests.rpc.test_call_tracing import Known, Tracer

LIST_TAGS = ListTagsRequest(repository="team/app").SerializeToString()
CLOSED = "a connection is closed, because its caller does not read its answers"


def large() -> ScriptedRegistry:
    """Its answers have more than 1 KiB, and take twice as much memory: one of them fits into 4 KiB."""
    return ScriptedRegistry(
        tags=[f"{number:0100}" for number in range(12)],
        repositories=[Repository(f"{number}/" + "x" * 240) for number in range(5)],
    )


async def call(connection: RawConnection, rpc: str, *, deadline: str = "") -> int:
    """Calls a method, and reads nothing. Answers with the stream."""
    metadata = [("grpc-timeout", deadline)] if deadline else []
    return await connection.call(f"/{SERVICE}/{rpc}", REQUESTS[rpc].SerializeToString(), metadata=metadata)


async def closed(connection: RawConnection) -> None:
    async for _ in connection.frames():
        pass


async def still_serves(connection: RawConnection) -> bool:
    """Whether a call of the connection is answered. The answer has no message, so no window holds it up."""
    stream = await connection.call(f"/{SERVICE}/ListTags", b"")
    async for frame in connection.frames():
        if frame.stream == stream and frame.kind == HEADERS and frame.flags & END_STREAM:
            return True
    return False


async def finished(gateway: Gateway, count: int) -> list[tuple[grpc.StatusCode, str]]:
    """How the first calls ended."""
    while len(gateway.calls.finished) < count:
        gateway.calls.ended.clear()
        await soon(gateway.calls.ended.wait())
    return [(ended.code, ended.reason) for ended in gateway.calls.finished[:count]]


async def over(gateway: Gateway) -> None:
    """Waits until no call is left: all answers have been read."""
    while gateway.server._boundary._serving.calls:
        await asyncio.sleep(0.001)


# --- Time -------------------------------------------------------------------------------------------------------


async def test_the_connection_of_an_unread_answer_is_closed_after_twice_the_time_limit(
    logs: list[MutableMapping[str, object]],
) -> None:
    limits = ServerLimits(max_call_duration=0.2)
    async with (
        serve(ScriptedRegistry(), limits=limits) as gateway,
        RawConnection.open(gateway.address, window=0) as connection,
    ):
        await check(gateway.channel)
        begun = asyncio.get_running_loop().time()
        await call(connection, "ListTags")
        assert await finished(gateway, 1) == [(grpc.StatusCode.OK, "")]
        await soon(closed(connection))
        assert 0.4 <= asyncio.get_running_loop().time() - begun < 5
        # Nobody else's.
        assert gateway.channel.get_state() == grpc.ChannelConnectivity.READY
        assert [(log["event"], str(log["peer"]).rpartition(":")[0]) for log in logs] == [(CLOSED, "ipv4:127.0.0.1")]


async def test_an_answer_that_has_been_read_closes_no_connection(logs: list[MutableMapping[str, object]]) -> None:
    async with serve(ScriptedRegistry(), limits=ServerLimits(max_call_duration=0.1)) as gateway:
        for _ in range(4):
            await finish(gateway.channel, "ListTags")
            await asyncio.sleep(0.1)
        assert gateway.channel.get_state() == grpc.ChannelConnectivity.READY
    assert logs == []


@pytest.mark.parametrize("deadline", ["", "60S"])
async def test_the_connection_of_an_unread_stream_is_closed_at_the_time_limit(
    deadline: str, logs: list[MutableMapping[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # It does not wait until somebody looks for unread answers.
    monkeypatch.setattr(ServedCall, "is_unread", lambda *_: False)
    async with (
        serve(ScriptedRegistry(), limits=ServerLimits(max_stream_duration=0.3)) as gateway,
        RawConnection.open(gateway.address, window=0) as connection,
    ):
        await call(connection, "StreamCatalog", deadline=deadline)
        assert await finished(gateway, 1) == [(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")]
        assert [log["event"] for log in logs] == [CLOSED]
        await soon(closed(connection))


async def test_an_unread_stream_that_the_shutdown_ends_is_observed_with_this_reason(
    logs: list[MutableMapping[str, object]],
) -> None:
    async with (
        serve(ScriptedRegistry()) as gateway,
        RawConnection.open(gateway.address, window=0) as connection,
    ):
        await call(connection, "StreamCatalog")
        await soon(gateway.calls.came_in(1))
        # Its first message is there.
        await asyncio.sleep(0.1)
        gateway.server._boundary.end_calls()
        assert await finished(gateway, 1) == [(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")]
        # The connection may have other calls, which are still to be told.
        assert logs == []


@pytest.mark.parametrize("rpc", ["ListTags", "StreamCatalog"])
async def test_a_callers_own_deadline_ends_its_unread_call_and_not_its_connection(
    rpc: str, logs: list[MutableMapping[str, object]]
) -> None:
    async with (
        serve(ScriptedRegistry()) as gateway,
        RawConnection.open(gateway.address, window=0) as connection,
    ):
        await call(connection, rpc, deadline="200m")
        await finished(gateway, 1)
        await asyncio.sleep(0.3)
        assert await soon(still_serves(connection))
    assert logs == []


@pytest.mark.parametrize("rpc", ["ListTags", "StreamCatalog"])
async def test_a_call_whose_request_does_not_come_is_ended_at_the_time_limit(rpc: str) -> None:
    async def nothing() -> AsyncGenerator[bytes, None]:
        await asyncio.Event().wait()
        yield b""

    limits = ServerLimits(max_call_duration=0.2, max_stream_duration=0.2)
    registry = ScriptedRegistry()
    async with serve(registry, limits=limits) as gateway:
        begin: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = gateway.channel.stream_stream(f"/{SERVICE}/{rpc}")
        begun = asyncio.get_running_loop().time()
        waiting = begin(nothing())
        failed = await soon(failure_of(_end_of(waiting)))
        assert asyncio.get_running_loop().time() - begun >= 0.2
    assert failed.outcome == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert "before its request had arrived" in failed.message
    assert registry.asked == []


async def test_a_call_that_is_not_over_at_its_time_limit_is_cancelled_once_and_keeps_its_connection(
    logs: list[MutableMapping[str, object]],
) -> None:
    cancelled = 0
    unread: list[bool] = []
    finished_tidying = asyncio.Event()

    async def tidy_up(_: str) -> None:
        nonlocal cancelled
        while not finished_tidying.is_set():
            try:
                await finished_tidying.wait()
            except asyncio.CancelledError:
                cancelled += 1
        raise NotFound("gone", reason="NAME_UNKNOWN")

    async with serve(ScriptedRegistry(tidy_up), limits=ServerLimits(max_call_duration=0.1)) as gateway:
        waiting = asyncio.ensure_future(failure_of(finish(gateway.channel, "ListTags")))
        await soon(gateway.calls.came_in(1))
        running = gateway.server._boundary._serving.calls
        # Longer than the time for reading the answer, and some looks at the calls.
        await asyncio.sleep(0.5)
        assert cancelled == 1
        assert [call.is_unread(time.perf_counter()) for call in running] == [False]
        # An answer that comes late has its time to be read, too.
        gateway.calls.at_end = lambda: unread.extend(call.is_unread(time.perf_counter()) for call in running)
        finished_tidying.set()
        failed = await soon(waiting)
    assert unread == [False]
    assert failed.outcome == (grpc.StatusCode.NOT_FOUND, "NAME_UNKNOWN")
    assert logs == []


async def test_a_call_whose_request_has_come_is_not_ended_for_want_of_it() -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(gate)) as gateway:
        waiting = asyncio.ensure_future(finish(gateway.channel, "ListTags"))
        await soon(gate.entered.wait())
        for running in gateway.server._boundary._serving.calls:
            running.check(time.perf_counter() + 10_000)
        gate.open.set()
        assert await soon(waiting)


async def _end_of(waiting: "grpc.aio.StreamStreamCall[bytes, bytes]") -> None:
    async for _ in waiting:
        pass


async def test_a_call_without_a_request_is_told_so() -> None:
    async def nothing() -> AsyncGenerator[bytes, None]:
        none: list[bytes] = []
        for message in none:
            yield message

    async with serve(ScriptedRegistry()) as gateway:
        begin: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = gateway.channel.stream_stream(f"/{SERVICE}/ListTags")
        failed = await soon(failure_of(_end_of(begin(nothing()))))
    assert failed.outcome == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert failed.fields == {"request": "missing: this method takes one message"}


# --- Callers that are gone ----------------------------------------------------------------------------------------


async def goes_away(waiting: asyncio.Future[list[bytes]]) -> None:
    """Ends a call to which the gateway sends nothing."""
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


class Leaves(Interceptor):
    """The requests of its calls end, and a moment later gRPC hears that the caller has gone away."""

    async def enter(self, incoming: IncomingCall) -> None:
        task = asyncio.current_task()
        assert task is not None
        cancel = task.cancel

        class Ending:
            async def read(self) -> object:
                asyncio.get_running_loop().call_later(0.01, cancel)
                return grpc.aio.EOF

            def time_remaining(self) -> float:
                return PATIENCE

        vars(incoming)["_context"] = Ending()


async def test_a_caller_that_goes_away_before_its_request_is_observed_as_gone() -> None:
    async with serve(ScriptedRegistry(), interceptors=[Leaves()]) as gateway:
        waiting = asyncio.ensure_future(finish(gateway.channel, "ListTags"))
        assert await finished(gateway, 1) == [(grpc.StatusCode.CANCELLED, "")]
        await goes_away(waiting)


async def test_an_error_of_grpc_says_that_the_caller_is_gone(logs: list[MutableMapping[str, object]]) -> None:
    async with serve(ScriptedRegistry(raising(grpc.aio.InternalError("the connection is gone")))) as gateway:
        waiting = asyncio.ensure_future(finish(gateway.channel, "ListTags"))
        assert await finished(gateway, 1) == [(grpc.StatusCode.CANCELLED, "")]
        await goes_away(waiting)
    assert logs == []


async def test_a_status_that_cannot_be_sent_any_more_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Gone:
        async def abort(self, *_: object) -> None:
            raise grpc.aio.InternalError("the connection is gone")

    async with serve(ScriptedRegistry(raising(NotFound("not there")))) as gateway:

        def break_off() -> None:
            for running in gateway.server._boundary._serving.calls:
                vars(running)["_context"] = Gone()

        gateway.calls.at_end = break_off
        waiting = asyncio.ensure_future(finish(gateway.channel, "ListTags"))
        await finished(gateway, 1)
        await soon(over(gateway))
        await goes_away(waiting)
    assert [record.getMessage() for record in caplog.records] == []


async def test_a_call_that_is_closed_with_its_event_loop_is_answered_no_more() -> None:
    tasks: list[asyncio.Task[object]] = []

    async def close(_: ListTagsRequest, __: object) -> ListTagsResponse:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        raise GeneratorExit

    async with serve_behaviour(close) as (_, calls, channel):
        waiting = asyncio.ensure_future(finish(channel, "ListTags"))
        await soon(calls.ended.wait())
        await asyncio.wait(tasks, timeout=PATIENCE)
        await goes_away(waiting)
    assert [(ended.code, ended.reason) for ended in calls.finished] == [(grpc.StatusCode.CANCELLED, "")]
    assert isinstance(tasks[0].exception(), GeneratorExit)


# --- Failed calls -------------------------------------------------------------------------------------------------


async def test_a_failed_call_is_answered_and_keeps_its_status_if_a_shutdown_follows() -> None:
    answered: list[bool] = []
    async with serve(ScriptedRegistry(raising(NotFound("gone", reason="NAME_UNKNOWN")))) as gateway:
        boundary = gateway.server._boundary

        def end() -> None:
            answered.extend(running.is_answered for running in boundary._serving.calls)
            boundary.end_calls()

        gateway.calls.at_end = end
        failed = await failure_of(finish(gateway.channel, "ListTags"))
    assert failed.outcome == (grpc.StatusCode.NOT_FOUND, "NAME_UNKNOWN")
    assert answered == [True]


async def test_a_failed_call_names_its_trace_and_its_record_has_the_caller_and_the_problem() -> None:
    tracer = Tracer()
    registry = ScriptedRegistry(raising(Unreachable("no route to the registry")))
    async with serve(registry, interceptors=[Known()], tracer=tracer) as gateway:
        failed = await failure_of(finish(gateway.channel, "ListTags"))
        (observed,) = gateway.calls.finished
    assert failed.facts["trace_id"] == tracer.calls[0].trace_id
    assert observed.caller == "token:scanner"
    assert observed.problem.startswith("no route to the registry")
    assert 0 < observed.seconds < PATIENCE


async def test_only_interceptors_that_let_a_call_in_learn_of_its_end() -> None:
    left: list[str] = []

    class Leaving(Interceptor):
        def __init__(self, name: str, error: GatewayError | None = None) -> None:
            self._name = name
            self._error = error

        async def enter(self, incoming: IncomingCall) -> None:
            if self._error is not None:
                raise self._error

        def leave(self, incoming: IncomingCall) -> None:
            left.append(self._name)

    interceptors = [Leaving("first"), Leaving("second", PermissionDenied("no"))]
    async with serve(ScriptedRegistry(), interceptors=interceptors) as gateway:
        await failure_of(finish(gateway.channel, "ListTags"))
        await soon(over(gateway))
    assert left == ["first"]


# --- Draining -----------------------------------------------------------------------------------------------------


async def test_a_new_call_is_refused_only_after_all_connections_were_told_to_go() -> None:
    async with serve(ScriptedRegistry()) as gateway:
        boundary = gateway.server._boundary
        boundary.drain()
        waiting = asyncio.ensure_future(failure_of(finish(gateway.channel, "ListTags")))
        await soon(gateway.calls.came_in(1))
        # An answer would come before these.
        for _ in range(3):
            await check(gateway.channel)
        assert not waiting.done()
        boundary.goaway_sent()
        failed = await soon(waiting)
    assert failed.outcome == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")


async def test_a_new_call_learns_of_the_shutdown_even_if_there_is_no_place_for_it() -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(gate), limits=ServerLimits(max_concurrent_calls=1)) as gateway:
        running = asyncio.ensure_future(finish(gateway.channel, "ListTags"))
        await soon(gate.entered.wait())
        gateway.server._boundary.drain()
        gateway.server._boundary.goaway_sent()
        failed = await soon(failure_of(finish(gateway.channel, "ListTags")))
        gate.open.set()
        assert await soon(running)
    assert failed.outcome == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")


async def test_a_new_watch_of_the_health_is_refused_while_the_gateway_drains() -> None:
    async with serve(ScriptedRegistry()) as gateway:
        gateway.server._boundary.drain()
        gateway.server._boundary.goaway_sent()
        failed = await soon(failure_of(watch(gateway.channel).read()))
    assert failed.outcome == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")


# --- Places -------------------------------------------------------------------------------------------------------


def without_a_place(gateway: Gateway, times: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Makes the next calls find no place, that many times. The result gets the owner at each try."""
    limit = gateway.server._boundary._serving.call_limit
    enter = limit.enter
    tries: list[str] = []

    def try_to_enter(owner: str, *, streaming: bool, watching: bool) -> None:
        tries.append(owner)
        if len(tries) <= times:
            raise TooManyCalls("full")
        enter(owner, streaming=streaming, watching=watching)

    monkeypatch.setattr(limit, "enter", try_to_enter)
    monkeypatch.setattr(served_call, "_PLACE_DELAYS", (0.1, 0.02, 0.03, 0.2))
    return tries


@pytest.mark.parametrize("rpc", ["ListTags", "StreamCatalog"])
async def test_a_call_waits_a_little_for_the_place_of_one_that_has_been_answered(
    rpc: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        serve(ScriptedRegistry()) as gateway,
        RawConnection.open(gateway.address, window=0) as connection,
    ):
        # Its answer is there, and has not been read.
        await call(connection, "ListTags")
        await finished(gateway, 1)
        tries = without_a_place(gateway, 4, monkeypatch)
        begun = asyncio.get_running_loop().time()
        assert await finish(gateway.channel, rpc)
        assert asyncio.get_running_loop().time() - begun >= 0.34
    assert len(tries) == 5


async def test_a_call_that_finds_no_place_in_that_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        serve(ScriptedRegistry()) as gateway,
        RawConnection.open(gateway.address, window=0) as connection,
    ):
        await call(connection, "ListTags")
        await finished(gateway, 1)
        tries = without_a_place(gateway, 5, monkeypatch)
        failed = await failure_of(finish(gateway.channel, "ListTags"))
    assert failed.outcome == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
    assert len(tries) == 5


async def test_a_watch_that_has_ended_leaves_its_place_to_another() -> None:
    async with serve(ScriptedRegistry(), limits=ServerLimits(max_watches=1)) as gateway:
        for _ in range(2):
            # It gets in: this gateway has no index.
            failed = await failure_of(finish(gateway.channel, "WatchEvents", b""))
            assert failed.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "INDEX_DISABLED")
            await soon(over(gateway))


async def test_a_stream_that_has_ended_leaves_its_place_to_another() -> None:
    async with serve(ScriptedRegistry(), limits=ServerLimits(max_concurrent_calls=1)) as gateway:
        for _ in range(2):
            assert await finish(gateway.channel, "StreamCatalog")
            await soon(over(gateway))


# --- Memory -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rpc", ["ListTags", "StreamCatalog"])
async def test_an_answer_waits_for_memory_until_the_time_limit(rpc: str) -> None:
    limits = ServerLimits(max_unread_bytes=4096, max_call_duration=0.5, max_stream_duration=0.5)
    async with (
        serve(large(), limits=limits) as gateway,
        RawConnection.open(gateway.address, window=0) as connection,
    ):
        await call(connection, "ListTags")
        assert await finished(gateway, 1) == [(grpc.StatusCode.OK, "")]
        # Health needs no memory.
        await check(gateway.channel)
        await call(connection, rpc)
        _, _, (code, reason) = await finished(gateway, 3)
        if rpc == "ListTags":
            assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
        else:
            # The time limit of the stream ends at the same moment.
            assert reason in ("TOO_MANY_CALLS", "DEADLINE_EXCEEDED")
        # The memory of an answer that nobody can read any more is free.
        await soon(closed(connection))
        assert await finish(gateway.channel, rpc)


@pytest.mark.parametrize("rpc", ["ListTags", "StreamCatalog"])
async def test_an_answer_that_waits_is_sent_as_soon_as_there_is_memory(rpc: str) -> None:
    async with (
        serve(large(), limits=ServerLimits(max_unread_bytes=4096, max_call_duration=5)) as gateway,
        RawConnection.open(gateway.address, window=0) as connection,
    ):
        unread = await call(connection, rpc)
        await soon(gateway.calls.came_in(1))
        # Its answer is there.
        await asyncio.sleep(0.1)
        waiting = asyncio.ensure_future(finish(gateway.channel, "ListTags"))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        connection.send(RST_STREAM, 0, unread, struct.pack(">I", 8))
        await connection.sent()
        assert await soon(waiting)
        # It has given back what it waited for.
        assert await finish(gateway.channel, "ListTags")


async def test_health_needs_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    async def too_late(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(UnreadAnswers, "take", lambda *_: False)
    monkeypatch.setattr(UnreadAnswers, "wait", too_late)
    async with serve(ScriptedRegistry()) as gateway:
        assert await check(gateway.channel) == HealthCheckResponse.SERVING
        failed = await failure_of(finish(gateway.channel, "ListTags"))
    assert failed.outcome == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")


async def test_the_messages_of_a_stream_that_is_read_take_turns_in_the_memory() -> None:
    names = [Repository(f"{number:04}/" + "x" * 240) for number in range(3000)]
    async with serve(ScriptedRegistry(repositories=names), limits=ServerLimits(max_unread_bytes=4096)) as gateway:
        assert len(await finish(gateway.channel, "StreamCatalog")) > 1
        # Nothing is left behind.
        for _ in range(2):
            assert await finish(gateway.channel, "StreamCatalog")


# --- The callers of streams -------------------------------------------------------------------------------------


class Checking(Interceptor):
    """Notes whose callers were checked, by the ids of the requests."""

    def __init__(self) -> None:
        self.checked: list[str] = []
        self.entered = asyncio.Event()
        self.error: GatewayError | None = None
        self.decided = asyncio.Event()
        self.decided.set()

    async def enter(self, incoming: IncomingCall) -> None:
        if incoming.call.request_id == "not-let-in":
            self.entered.set()
            await asyncio.Future()

    async def has_checked(self, name: str, times: int) -> None:
        while self.checked.count(name) < times:
            await asyncio.sleep(0.01)

    async def check(self, incoming: IncomingCall, rpc: Rpc) -> None:
        self.checked.append(incoming.call.request_id)
        await self.decided.wait()
        if self.error is not None:
            raise self.error


def named(name: str) -> tuple[tuple[str, str], ...]:
    return (("x-request-id", name),)


@pytest.fixture
def checking(monkeypatch: pytest.MonkeyPatch) -> Checking:
    """An interceptor that is asked often."""
    monkeypatch.setattr(serving, "_CALLER_INTERVAL", 0.01)
    return Checking()


async def test_only_the_callers_of_streams_that_were_let_in_are_checked(
    checking: Checking, logs: list[MutableMapping[str, object]]
) -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(gate), interceptors=[checking]) as gateway:
        watching = watch(gateway.channel)
        await soon(watching.read())
        calls = [
            asyncio.ensure_future(finish(gateway.channel, rpc, metadata=named(name)))
            for rpc, name in (("StreamCatalog", "not-let-in"), ("ListTags", "no-stream"), ("StreamCatalog", "stream"))
        ]
        await soon(checking.entered.wait())
        await soon(gate.entered.wait())
        await soon(checking.has_checked("stream", 3))
        gate.open.set()
        await soon(asyncio.gather(*calls[1:]))
        calls[0].cancel()
        watching.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    assert set(checking.checked) == {"stream"}
    assert logs == []


async def test_a_call_that_is_ended_keeps_its_reason_if_its_caller_is_refused_later(checking: Checking) -> None:
    ending, tidied = asyncio.Event(), asyncio.Event()

    async def tidy_up(_: str) -> None:
        try:
            await asyncio.Future()
        finally:
            ending.set()
            await tidied.wait()

    checking.decided.clear()
    checking.error = PermissionDenied("not any more")
    async with serve(ScriptedRegistry(tidy_up), interceptors=[checking]) as gateway:
        call = asyncio.ensure_future(failure_of(finish(gateway.channel, "StreamCatalog", metadata=named("stream"))))
        await soon(checking.has_checked("stream", 1))
        gateway.server._boundary.end_calls()
        await soon(ending.wait())
        checking.decided.set()
        # The check ends now, and the next one finds nothing to check.
        await asyncio.sleep(0.1)
        tidied.set()
        failed = await soon(call)
    assert failed.outcome == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    assert len(checking.checked) == 1
