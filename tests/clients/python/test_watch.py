"""Watches of both clients: they go on by themselves, and say when events were lost."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from portus.registry.v1.tag_history_pb2 import FindTagsRequest
from portus.registry.v1.watch_pb2 import Event as EventMessage
from portus.registry.v1.watch_pb2 import WatchEventsRequest, WatchEventsResponse
from portus_client import AsyncRegistryClient, FailedPrecondition, RegistryClient, RegistryError, WatchUpdate
from portus_client import watch as watching
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


def synchronous(address: str, **arguments: object) -> tuple[list[WatchUpdate], RegistryError]:
    updates: list[WatchUpdate] = []
    with RegistryClient(address) as client, pytest.raises(RegistryError) as raised:
        updates.extend(client.watch(**arguments))  # type: ignore[arg-type]  # the arguments of a test
    return updates, raised.value


def asynchronous(address: str, **arguments: object) -> tuple[list[WatchUpdate], RegistryError]:
    async def collect() -> tuple[list[WatchUpdate], RegistryError]:
        updates: list[WatchUpdate] = []
        async with AsyncRegistryClient(address) as client, aclosing(client.watch(**arguments)) as watch:  # type: ignore[arg-type]
            with pytest.raises(RegistryError) as raised:
                async for update in watch:
                    # One by one: those before the error count.
                    updates += [update]
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


def test_pauses_grow_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_FIRST_PAUSE", 0.1)
    progress = watching.WatchProgress(
        prefix="", repositories=(), after_cursor="", current_state=False, heartbeat_interval=None
    )
    assert progress.pause(None) == 0
    pauses = []
    for _ in range(20):
        progress.failed(watching_error(LOST))
        pauses.append(progress.pause(None))
    assert pauses[0] <= 0.1
    assert 15 <= pauses[-1] <= 30
    progress.received(message("1"))
    assert progress.pause(None) == 0


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


def watching_error(what: object) -> RegistryError:
    from google.rpc.status_pb2 import Status

    from portus_client import errors

    assert isinstance(what, Status)
    return errors.from_status(what)
