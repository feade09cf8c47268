"""Watches of both clients: they go on by themselves, and say when events were lost."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from portus.registry.v1.tag_history_pb2 import FindTagsRequest
from portus.registry.v1.watch_pb2 import Event as EventMessage
from portus.registry.v1.watch_pb2 import WatchEventsRequest, WatchEventsResponse
from portus_client import (
    AsyncRegistryClient,
    Cancelled,
    FailedPrecondition,
    RegistryClient,
    RegistryError,
    ResourceExhausted,
    Unavailable,
    WatchUpdate,
)
from portus_client import watch as watching
from portus_client.errors import from_status
from tests.clients.python.clients import Client
from tests.clients.python.gateway import IMAGE_DIGEST, Gateway, status

END = status(grpc.StatusCode.FAILED_PRECONDITION, "this gateway has no index", "INDEX_DISABLED")
LOST = status(grpc.StatusCode.UNAVAILABLE, "the gateway is stopping", "SHUTTING_DOWN")
EXPIRED = status(grpc.StatusCode.OUT_OF_RANGE, "list again", "CURSOR_EXPIRED")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_FIRST_PAUSE", 0.0)


def message(cursor: str, *tags: str) -> WatchEventsResponse:
    answer = WatchEventsResponse(cursor=cursor)
    answer.as_of.FromSeconds(1000)
    for tag in tags:
        event = answer.events.add(type=EventMessage.TAG_MOVED, repository="team/app", tag=tag, digest="sha256:1")
        event.previous_digest = "sha256:0"
        event.observed_time.FromSeconds(900)
        event.actor = "ci"
    return answer


def retry_after(seconds: float) -> RetryInfo:
    delay = Duration()
    delay.FromTimedelta(timedelta(seconds=seconds))
    return RetryInfo(retry_delay=delay)


def too_many(seconds: float) -> Status:
    return status(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many", "TOO_MANY_CALLS", retry_after(seconds))


def synchronous(
    address: str, *, client_timeout: float = 30.0, work: float = 0.0, **arguments: object
) -> tuple[list[WatchUpdate], RegistryError]:
    """The updates until an error. The caller needs `work` seconds for each."""
    updates: list[WatchUpdate] = []
    with RegistryClient(address, timeout=client_timeout) as client, pytest.raises(RegistryError) as raised:
        for update in client.watch(**arguments):  # type: ignore[arg-type]  # the arguments of a test
            updates.append(update)
            time.sleep(work)
    return updates, raised.value


def asynchronous(
    address: str, *, client_timeout: float = 30.0, work: float = 0.0, **arguments: object
) -> tuple[list[WatchUpdate], RegistryError]:
    async def collect() -> tuple[list[WatchUpdate], RegistryError]:
        updates: list[WatchUpdate] = []
        async with (
            AsyncRegistryClient(address, timeout=client_timeout) as client,
            aclosing(client.watch(**arguments)) as watch,  # type: ignore[arg-type]
        ):
            with pytest.raises(RegistryError) as raised:
                async for update in watch:
                    updates.append(update)
                    await asyncio.sleep(work)
        return updates, raised.value

    return asyncio.run(collect())


Watch = Callable[..., tuple[list[WatchUpdate], RegistryError]]
both = pytest.mark.parametrize("watch", [synchronous, asynchronous], ids=["sync", "async"])


def asked(gateway: Gateway) -> list[WatchEventsRequest]:
    return [request for _, request in gateway.requests if isinstance(request, WatchEventsRequest)]


@both
def test_an_update_has_its_events(gateway: Gateway, watch: Watch) -> None:
    gateway.watches = [[message("1", "v1"), END]]
    (update,), _ = watch(gateway.address, prefix="team/", heartbeat_interval=timedelta(seconds=2))
    (event,) = update.events
    assert (event.type, event.repository, event.tag, event.actor) == ("TAG_MOVED", "team/app", "v1", "ci")
    assert (event.digest, event.previous_digest) == ("sha256:1", "sha256:0")
    assert event.observed_time == datetime.fromtimestamp(900, UTC)
    assert event.notified_time is None
    assert update.as_of == datetime.fromtimestamp(1000, UTC)
    (request,) = asked(gateway)
    assert (request.prefix, request.heartbeat_interval.seconds) == ("team/", 2)
    assert request.WhichOneof("start") is None


@both
def test_a_watch_goes_on_at_its_last_cursor(gateway: Gateway, watch: Watch) -> None:
    # An interruption; the gateway's time limit, which ends a watch well; and another interruption.
    gateway.watches = [[message("1", "v1"), message("2"), LOST], [message("3", "v2")], [LOST], [END]]
    updates, error = watch(gateway.address, current_state=True)
    assert [update.cursor for update in updates] == ["1", "2", "3"]
    assert isinstance(error, FailedPrecondition)
    assert [request.after_cursor for request in asked(gateway)] == ["", "2", "3", "3"]
    assert asked(gateway)[0].current_state


@both
def test_lost_events_are_told_and_the_current_state_follows(gateway: Gateway, watch: Watch) -> None:
    gateway.watches = [[EXPIRED], [message("9", "v1"), END]]
    updates, _ = watch(gateway.address, after_cursor="1")
    assert [update.list_again for update in updates] == [True, False]
    first, second = asked(gateway)
    assert (first.after_cursor, second.after_cursor, second.current_state) == ("1", "", True)


@both
def test_two_beginnings_contradict_each_other(gateway: Gateway, watch: Watch) -> None:
    with pytest.raises(ValueError, match="not with both"):
        watch(gateway.address, after_cursor="1", current_state=True)


@both
@pytest.mark.parametrize(
    "error",
    [
        status(grpc.StatusCode.PERMISSION_DENIED, "not you", "POLICY_DENIED"),
        status(grpc.StatusCode.UNAUTHENTICATED, "who are you", "TOKEN_UNKNOWN"),
        status(grpc.StatusCode.INVALID_ARGUMENT, "not a cursor", "INVALID_FIELD"),
        status(grpc.StatusCode.OUT_OF_RANGE, "something else", "OTHER"),
        status(grpc.StatusCode.UNIMPLEMENTED, "an older gateway"),
        status(grpc.StatusCode.INTERNAL, "a bug", "INTERNAL"),
    ],
    ids=lambda error: f"{error.code}",
)
def test_an_error_that_would_come_again_is_raised(gateway: Gateway, watch: Watch, error: Status) -> None:
    gateway.watches = [[message("1"), error]]
    updates, raised = watch(gateway.address)
    assert [update.cursor for update in updates] == ["1"]
    assert raised.code.value[0] == error.code
    assert len(asked(gateway)) == 1


@both
@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN], ids=lambda code: code.name)
def test_a_stream_that_a_proxy_breaks_continues(gateway: Gateway, watch: Watch, code: grpc.StatusCode) -> None:
    broken = status(code, "Received RST_STREAM with error code 2")
    gateway.watches = [[message("1"), broken], [END]]
    watch(gateway.address)
    assert [request.after_cursor for request in asked(gateway)] == ["", "1"]
    # At the beginning, the address may be wrong.
    gateway.watches = [[broken]]
    _, raised = watch(gateway.address)
    assert raised.code is code


@both
def test_a_watch_whose_credential_has_expired_continues_with_the_newest_one(gateway: Gateway, watch: Watch) -> None:
    expired = status(grpc.StatusCode.UNAUTHENTICATED, "it has expired", "CREDENTIAL_INVALID")
    gateway.watches = [[message("1"), expired], [message("2"), expired], [expired]]
    updates, raised = watch(gateway.address)
    assert [update.cursor for update in updates] == ["1", "2"]
    # The newest one is not valid either.
    assert raised.code is grpc.StatusCode.UNAUTHENTICATED
    assert len(asked(gateway)) == 3


@both
def test_a_watch_waits_as_long_as_the_gateway_asks(gateway: Gateway, watch: Watch) -> None:
    gateway.watches = [[too_many(0.3)], [too_many(0.3)], [END]]
    started = time.monotonic()
    _, error = watch(gateway.address)
    assert isinstance(error, FailedPrecondition)
    assert time.monotonic() - started > 0.6


@both
def test_a_watch_does_not_wait_for_longer_than_it_tries(gateway: Gateway, watch: Watch) -> None:
    gateway.watches = [[too_many(3600)]]
    _, error = watch(gateway.address)
    assert isinstance(error, ResourceExhausted)
    assert len(asked(gateway)) == 1


@both
def test_a_watch_gives_up(gateway: Gateway, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_FIRST_PAUSE", 0.1)
    gateway.failures = {"WatchEvents": [too_many(0.01)] * 100}
    gateway.watches = [[message("1"), LOST]]
    gateway.failures["WatchEvents"].insert(0, too_many(0.01))
    _, error = watch(gateway.address, give_up_after=timedelta(seconds=0.5))
    assert isinstance(error, ResourceExhausted)
    assert 2 <= len(asked(gateway)) <= 6


@both
def test_a_watch_without_any_gateway_fails_like_a_call(watch: Watch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    _, error = watch(address, client_timeout=0.5)
    assert isinstance(error, Unavailable)


@both
def test_a_gateway_that_is_not_ready_is_waited_for_longer(gateway: Gateway, watch: Watch) -> None:
    not_ready = status(grpc.StatusCode.UNAVAILABLE, "wait", "INDEX_NOT_READY", retry_after(0.1))
    # gRPC repeats each four times.
    gateway.failures = {"WatchEvents": [not_ready] * 5}
    gateway.watches = [[END]]
    _, error = watch(gateway.address, client_timeout=0.05)
    assert isinstance(error, FailedPrecondition)


@both
def test_silence_is_an_interruption(gateway: Gateway, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_SHORTEST_SILENCE", 0.2)
    gateway.watches = [[message("1"), None], [None], [message("2"), END]]
    updates, _ = watch(gateway.address, heartbeat_interval=timedelta(seconds=0.05))
    assert [update.cursor for update in updates] == ["1", "2"]
    assert [request.after_cursor for request in asked(gateway)] == ["", "1", "1"]


@both
def test_a_caller_that_takes_its_time_is_not_silence(
    gateway: Gateway, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_SHORTEST_SILENCE", 0.2)
    gateway.watches = [[message("1"), message("2"), message("3"), END]]
    updates, error = watch(gateway.address, heartbeat_interval=timedelta(seconds=0.05), work=0.5)
    assert [update.cursor for update in updates] == ["1", "2", "3"]
    assert isinstance(error, FailedPrecondition)
    assert len(asked(gateway)) == 1


def test_silence_is_three_heartbeats() -> None:
    assert progress().longest_silence == 45
    assert progress(heartbeat_interval=timedelta(minutes=1)).longest_silence == 180
    assert progress(heartbeat_interval=timedelta(seconds=1)).longest_silence == 10


@both
def test_lost_events_are_told_once_until_something_comes(gateway: Gateway, watch: Watch) -> None:
    gateway.watches = [[EXPIRED], [LOST], [EXPIRED], [message("8", "v1"), EXPIRED], [END]]
    updates, _ = watch(gateway.address, after_cursor="1")
    assert [update.list_again for update in updates] == [True, False, True]


def test_a_caller_that_stops_ends_the_call(gateway: Gateway) -> None:
    gateway.watches = [[message("1"), None]]
    with RegistryClient(gateway.address) as client:
        for _ in client.watch():
            break
        assert gateway.watch_ended.wait(10)
        assert not any("watch" in thread.name for thread in threading.enumerate())


async def test_an_asynchronous_caller_that_is_cancelled_ends_the_call(gateway: Gateway) -> None:
    gateway.watches = [[message("1"), None]]
    async with AsyncRegistryClient(gateway.address) as client:
        begun = asyncio.Event()

        async def follow() -> None:
            async with aclosing(client.watch()) as updates:
                async for _ in updates:
                    begun.set()

        task = asyncio.create_task(follow())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(gateway.watch_ended.wait, 10)


# While the watch waits for a message, and between two calls.
when = pytest.mark.parametrize("last", [None, too_many(60)], ids=["silent", "pause"])


@when
def test_closing_the_client_ends_a_watch_at_once(gateway: Gateway, last: Status | None) -> None:
    gateway.watches = [[message("1"), last]]
    client = RegistryClient(gateway.address)
    updates = client.watch()
    next(updates)
    closing = threading.Timer(0.2, client.close)
    closing.start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        next(updates)
    closing.join()
    assert time.monotonic() - started < 10


@when
async def test_closing_the_asynchronous_client_ends_a_watch_at_once(gateway: Gateway, last: Status | None) -> None:
    gateway.watches = [[message("1"), last]]
    client = AsyncRegistryClient(gateway.address)
    async with aclosing(client.watch()) as updates, asyncio.timeout(10):
        await anext(updates)
        following = asyncio.ensure_future(anext(updates))
        await asyncio.wait([following], timeout=0.2)
        await client.close()
        with pytest.raises(Cancelled):
            await following


def test_pauses_grow_and_begin_anew_after_a_call_that_lasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_FIRST_PAUSE", 0.1)
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    of_calls = progress()
    pauses = []
    for _ in range(20):
        of_calls.request()
        # One message does not make a call that lasts.
        of_calls.received(message("1"))
        pauses.append(of_calls.failed(from_status(LOST))[1])
    assert pauses[0] <= 0.1
    assert 15 <= pauses[-1] <= 30
    of_calls.request()
    assert of_calls.ended() >= 15
    of_calls.request()
    now += 11
    assert of_calls.ended() <= 0.1


def test_the_history_of_a_tag_has_all_pages(client: Client, gateway: Gateway) -> None:
    gateway.history = [EventMessage.TAG_MOVED, EventMessage.TAG_CREATED]
    assert [event.type for event in client.tag_history("team/app", "1.0")] == ["TAG_MOVED", "TAG_CREATED"]


def test_tags_that_are_found(client: Client, gateway: Gateway) -> None:
    (found,) = client.find_tags(name_contains="1.", prefix="team/")
    assert (found.repository, found.tag, found.digest) == ("team/app", "1.0", IMAGE_DIGEST)
    assert found.checked_time is None
    (request,) = [asked for _, asked in gateway.requests if isinstance(asked, FindTagsRequest)]
    assert (request.name_contains, request.prefix, request.page_size) == ("1.", "team/", 1000)
    for digest, name in (("", ""), (IMAGE_DIGEST, "1")):
        with pytest.raises(ValueError, match="either a digest or a part of a name"):
            list(client.find_tags(digest=digest, name_contains=name))


def progress(heartbeat_interval: timedelta | None = None) -> watching.WatchProgress:
    return watching.WatchProgress(
        prefix="",
        repositories=(),
        after_cursor="",
        current_state=False,
        heartbeat_interval=heartbeat_interval,
        give_up_after=None,
        start_timeout=1.0,
    )
