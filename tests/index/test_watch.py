"""WatchEvents: every change in order, resumable, and for each caller what it may see."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from portus.registry.v1.registry_service_pb2 import CatalogRequest, GetRegistryInfoRequest, ListTagsRequest
from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from portus.registry.v1.watch_pb2 import Event, WatchEventsRequest, WatchEventsResponse
from portus_gateway.devregistry import DevRegistry, Fault
from portus_gateway.index.sqlite import SqliteStore
from portus_gateway.index.store import ChangeRows, TagEntry
from portus_gateway.index.watch_cursor import SealedCursor, WatchCursor
from portus_gateway.operations import watching
from portus_gateway.rpc import request_parsing
from tests.index.gateways import TOKEN, IndexedGateway, caller, indexed_gateway
from tests.index.registries import until
from tests.index.test_notification import body, event
from tests.index.turns import Turns

Told = tuple[str, str, str]
SECOND = Duration(seconds=1)
AT_ONCE = Duration(nanos=1)
"""The heartbeat of a watch that sends a message after each read. A test has to allow it first."""


@pytest.fixture
async def registry() -> AsyncGenerator[DevRegistry, None]:
    async with DevRegistry(auth="anonymous") as running:
        running.push("other/app", "v1")
        running.push("team/app", "v1", "v2")
        yield running


@pytest.fixture
async def gateway(registry: DevRegistry, tmp_path: Path) -> AsyncGenerator[IndexedGateway, None]:
    async with indexed_gateway(registry, tmp_path) as running:
        await running.ready()
        yield running


def told(events: Sequence[Event]) -> list[Told]:
    return [(Event.Type.Name(each.type), each.repository, each.tag) for each in events]


async def announced(gateway: IndexedGateway, repository: str, **target: str) -> None:
    """Sends the gateway a notification about a repository, and what else `target` names."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            gateway.notifications,
            data=body(event(repository=repository, **target)),
            headers={"Authorization": f"Bearer {TOKEN}"},
        ) as answer,
    ):
        assert answer.status == 202


class Watch:
    """A watch that remembers what it received."""

    def __init__(
        self, gateway: IndexedGateway, request: WatchEventsRequest, metadata: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self._call = gateway.stub.WatchEvents(request, metadata=metadata)
        self.events: list[Event] = []
        self.cursor = ""

    async def message(self) -> WatchEventsResponse:
        async with asyncio.timeout(10):
            message = await self._call.read()
        assert isinstance(message, WatchEventsResponse)
        self.events += message.events
        self.cursor = message.cursor
        return message

    async def until(self, number: int) -> list[Told]:
        """Reads until there are so many events."""
        while len(self.events) < number:
            await self.message()
        return told(self.events)

    def end(self) -> None:
        self._call.cancel()

    async def failure(self) -> tuple[grpc.StatusCode, str]:
        """Reads until the watch fails."""
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            async with asyncio.timeout(10):
                while await self._call.read() is not grpc.aio.EOF:
                    pass
                raise AssertionError(f"ended with {await self._call.code()}")
        return failed.value.code(), str(failed.value.details())


async def test_a_watch_sees_what_happens(registry: DevRegistry, gateway: IndexedGateway) -> None:
    watch = Watch(gateway, WatchEventsRequest())
    assert (await watch.message()).cursor != ""
    digest = registry.push("team/app", "v3")
    registry.untag("team/app", "v1")
    await announced(gateway, "team/app")
    assert await watch.until(2) == [("TAG_DELETED", "team/app", "v1"), ("TAG_CREATED", "team/app", "v3")]
    assert watch.events[1].digest == digest
    assert watch.events[0].previous_digest != ""
    watch.end()


async def test_a_watch_from_a_cursor_of_an_answer_misses_nothing(
    registry: DevRegistry, gateway: IndexedGateway
) -> None:
    cursor = (await gateway.stub.ListTags(ListTagsRequest(repository="team/app"))).cursor
    registry.push("new/app", "v1")
    await announced(gateway, "new/app")
    watch = Watch(gateway, WatchEventsRequest(after_cursor=cursor))
    assert await watch.until(2) == [("REPOSITORY_CREATED", "new/app", ""), ("TAG_CREATED", "new/app", "v1")]
    watch.end()


async def test_a_watch_goes_on_after_a_restart_of_the_gateway(registry: DevRegistry, tmp_path: Path) -> None:
    async with indexed_gateway(registry, tmp_path) as gateway:
        await gateway.ready()
        watch = Watch(gateway, WatchEventsRequest())
        await watch.message()
        registry.push("team/app", "v3")
        await announced(gateway, "team/app")
        await watch.until(1)
        watch.end()
    registry.push("team/app", "v4")
    async with indexed_gateway(registry, tmp_path) as gateway:
        again = Watch(gateway, WatchEventsRequest(after_cursor=watch.cursor))
        assert await again.until(1) == [("TAG_CREATED", "team/app", "v4")]
        again.end()


async def test_the_current_state_and_then_the_changes(registry: DevRegistry, gateway: IndexedGateway) -> None:
    watch = Watch(gateway, WatchEventsRequest(current_state=True, prefix="team/"))
    while not (await watch.message()).current_state_complete:
        pass
    assert told(watch.events) == [
        ("REPOSITORY_CREATED", "team/app", ""),
        ("TAG_CREATED", "team/app", "v1"),
        ("TAG_CREATED", "team/app", "v2"),
    ]
    registry.push("team/app", "v3")
    await announced(gateway, "team/app")
    assert (await watch.until(4))[3] == ("TAG_CREATED", "team/app", "v3")
    watch.end()


async def test_lists_of_the_current_state_take_turns_between_callers(
    registry: DevRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = Turns()
    turns.hold(monkeypatch, watching, "repository_tags")
    async with indexed_gateway(registry, tmp_path, access=True) as gateway:
        await gateway.ready("admin")
        request = WatchEventsRequest(current_state=True)
        many = [Watch(gateway, request, caller("team")) for _ in range(9)]
        await turns.all_asked(9)
        one = Watch(gateway, request, caller("admin"))
        await turns.all_asked(10)
        for _ in range(10):
            turns.go_on.release()
        for watch in (one, *many):
            assert (await watch.message()).current_state_complete
            watch.end()
    assert turns.most == 2
    assert "token:admin" in turns.looks[2:4]


async def test_a_list_of_the_current_state_can_be_continued(registry: DevRegistry, tmp_path: Path) -> None:
    registry.push_many([f"many/{number:03}" for number in range(400)], ["a", "b"])
    async with indexed_gateway(registry, tmp_path) as gateway:
        await gateway.ready()
        watch = Watch(gateway, WatchEventsRequest(current_state=True))
        first = await watch.message()
        assert not first.current_state_complete
        watch.end()
        rest = Watch(gateway, WatchEventsRequest(after_cursor=first.cursor))
        while not (await rest.message()).current_state_complete:
            pass
        rest.end()
        seen = [each for each in told(watch.events) + told(rest.events) if each[0] == "TAG_CREATED"]
        assert len(seen) == len(set(seen)) == 803


async def test_heartbeats_while_the_current_state_has_nothing_for_the_caller(
    gateway: IndexedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_AT_ONCE", 1)
    read = SqliteStore.repository_tags

    async def slow(store: SqliteStore, after: tuple[str, str], prefix: str, most: int) -> list[TagEntry]:
        await asyncio.sleep(0.6)
        return await read(store, after, prefix, most)

    monkeypatch.setattr(SqliteStore, "repository_tags", slow)
    watch = Watch(gateway, WatchEventsRequest(current_state=True, repositories=["no/app"], heartbeat_interval=SECOND))
    heartbeat = await watch.message()
    assert not heartbeat.current_state_complete
    assert heartbeat.cursor != ""
    assert not heartbeat.HasField("as_of")
    while not (await watch.message()).current_state_complete:
        pass
    assert watch.events == []
    watch.end()


async def test_a_change_is_read_once_for_all_watches(
    registry: DevRegistry, gateway: IndexedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    read = SqliteStore.changes

    async def counted(store: SqliteStore, after: int, most: int) -> ChangeRows:
        nonlocal reads
        reads += 1
        return await read(store, after, most)

    monkeypatch.setattr(SqliteStore, "changes", counted)
    watches = [Watch(gateway, WatchEventsRequest(heartbeat_interval=SECOND)) for _ in range(60)]
    for watch in watches:
        await watch.message()
    before = reads
    registry.push("team/app", "v3")
    await announced(gateway, "team/app")
    assert {tuple(await watch.until(1)) for watch in watches} == {(("TAG_CREATED", "team/app", "v3"),)}
    for watch in watches:
        # A heartbeat.
        await watch.message()
    assert reads - before < len(watches)
    for watch in watches:
        watch.end()


async def test_only_the_wanted_repositories(registry: DevRegistry, gateway: IndexedGateway) -> None:
    watch = Watch(gateway, WatchEventsRequest(repositories=["team/app", "no/app"]))
    await watch.message()
    for repository in ("other/app", "team/app"):
        registry.push(repository, "v9")
        await announced(gateway, repository)
    assert await watch.until(1) == [("TAG_CREATED", "team/app", "v9")]
    watch.end()


async def opened(tmp_path: Path, registry: DevRegistry, cursor: str) -> WatchCursor:
    """What only the gateway can read."""
    async with SqliteStore(tmp_path / "index.db", registry.url, keeps=False) as store:
        found = SealedCursor.decode(cursor).opened((await store.state()).epoch)
    assert found is not None
    return found


async def test_heartbeats_take_the_cursor_past_what_others_do(
    registry: DevRegistry, gateway: IndexedGateway, tmp_path: Path
) -> None:
    watch = Watch(gateway, WatchEventsRequest(prefix="nobody/", heartbeat_interval=SECOND))
    first = await watch.message()
    registry.push("team/app", "v3")
    await announced(gateway, "team/app")
    heartbeat = await watch.message()
    assert list(heartbeat.events) == []
    assert heartbeat.as_of.ToMicroseconds() > first.as_of.ToMicroseconds()
    before, after = [await opened(tmp_path, registry, each.cursor) for each in (first, heartbeat)]
    assert after.sequence > before.sequence
    watch.end()


async def test_callers_see_events_of_repositories_whose_tags_they_may_list(
    registry: DevRegistry, tmp_path: Path
) -> None:
    async with indexed_gateway(registry, tmp_path, access=True) as gateway:
        await gateway.ready("admin")
        watch = Watch(gateway, WatchEventsRequest(current_state=True), caller("team"))
        while not (await watch.message()).current_state_complete:
            pass
        assert {each.repository for each in watch.events} == {"team/app"}
        for repository in ("other/app", "team/app"):
            registry.push(repository, "v9")
            await announced(gateway, repository)
        assert (await watch.until(4))[3] == ("TAG_CREATED", "team/app", "v9")
        watch.end()
        refused = Watch(gateway, WatchEventsRequest(), caller("reader"))
        assert (await refused.failure())[0] is grpc.StatusCode.PERMISSION_DENIED


async def test_a_cursor_of_another_caller_gives_no_rights(registry: DevRegistry, tmp_path: Path) -> None:
    async with indexed_gateway(registry, tmp_path, access=True) as gateway:
        await gateway.ready("admin")
        watch = Watch(gateway, WatchEventsRequest(), caller("admin"))
        await watch.message()
        watch.end()
        for repository in ("other/app", "team/app"):
            registry.push(repository, "v9")
            await announced(gateway, repository)
        other = Watch(gateway, WatchEventsRequest(after_cursor=watch.cursor), caller("team"))
        assert await other.until(1) == [("TAG_CREATED", "team/app", "v9")]
        other.end()


async def test_a_cursor_in_the_current_state_names_nothing_that_is_hidden(
    registry: DevRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_AT_ONCE", 4)
    monkeypatch.setattr(request_parsing, "_SHORTEST_HEARTBEAT", 0)
    registry.push("zz-hidden/app", "v1", "v2", "v3")
    async with indexed_gateway(registry, tmp_path, access=True) as gateway:
        await gateway.ready("admin")
        request = WatchEventsRequest(current_state=True, heartbeat_interval=AT_ONCE)
        watch = Watch(gateway, request, caller("team"))
        positions = []
        while not (message := await watch.message()).current_state_complete:
            assert b"hidden" not in base64.urlsafe_b64decode(message.cursor + "==")
            positions.append((await opened(tmp_path, registry, message.cursor)).listed)
        watch.end()
        assert positions == [("zz-hidden/app", "v1")]


async def messages_of(gateway: IndexedGateway, request: WatchEventsRequest, events: int) -> list[list[Told]]:
    """What `team` receives in each message, until there are so many events."""
    watch = Watch(gateway, request, caller("team"))
    messages: list[list[Told]] = []
    while len(watch.events) < events:
        messages.append(told((await watch.message()).events))
    watch.end()
    return messages


@pytest.mark.parametrize("hidden", [0, 1, 2, 3])
async def test_the_ends_of_messages_do_not_tell_how_many_tags_are_hidden(
    registry: DevRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: int
) -> None:
    monkeypatch.setattr(watching, "_AT_ONCE", 4)
    registry.push("team/app", "v3", "v4", "v5", "v6")
    for number in range(hidden):
        registry.push("other/app", f"h{number}")
    async with indexed_gateway(registry, tmp_path, access=True) as gateway:
        await gateway.ready("admin")
        first, second = await messages_of(gateway, WatchEventsRequest(current_state=True), 7)
    assert first == [("REPOSITORY_CREATED", "team/app", ""), *(("TAG_CREATED", "team/app", f"v{n}") for n in (1, 2, 3))]
    assert second == [("TAG_CREATED", "team/app", f"v{number}") for number in (4, 5, 6)]


@pytest.mark.parametrize("hidden", [False, True])
async def test_the_ends_of_messages_do_not_tell_how_many_changes_are_hidden(
    registry: DevRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: bool
) -> None:
    monkeypatch.setattr(watching, "_AT_ONCE", 4)
    async with indexed_gateway(registry, tmp_path, access=True) as gateway:
        await gateway.ready("admin")
        cursor = (await gateway.stub.Catalog(CatalogRequest(), metadata=caller("team"))).cursor
        everything = Watch(gateway, WatchEventsRequest(after_cursor=cursor), caller("admin"))
        changes = 0
        for step in range(3):
            for repository in ("other/app", "team/app") if hidden else ("team/app",):
                registry.push(repository, f"{step}a", f"{step}b")
                await announced(gateway, repository)
                changes += 2
                await everything.until(changes)
        everything.end()
        messages = await messages_of(gateway, WatchEventsRequest(after_cursor=cursor), 6)
    assert [[tag for _, _, tag in message] for message in messages] == [["0a", "0b", "1a", "1b"], ["2a", "2b"]]


async def test_a_message_is_not_as_of_a_time_whose_changes_come_later(
    registry: DevRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_AT_ONCE", 2)
    monkeypatch.setattr(request_parsing, "_SHORTEST_HEARTBEAT", 0)
    async with indexed_gateway(registry, tmp_path, access=True) as gateway:
        await gateway.ready("admin")
        cursor = (await gateway.stub.Catalog(CatalogRequest(), metadata=caller("team"))).cursor
        everything = Watch(gateway, WatchEventsRequest(after_cursor=cursor), caller("admin"))
        for number, repository in enumerate(("other/app", "team/app"), 1):
            registry.push(repository, "a", "b", "c")
            await announced(gateway, repository)
            await everything.until(3 * number)
        everything.end()
        watch = Watch(gateway, WatchEventsRequest(after_cursor=cursor, heartbeat_interval=AT_ONCE), caller("team"))
        # Two hidden changes; a hidden one and a visible one; two visible ones; and then everything is known.
        heartbeat, one, two, end = [await watch.message() for _ in range(4)]
        watch.end()
    assert [len(message.events) for message in (heartbeat, one, two, end)] == [0, 1, 2, 0]
    assert not heartbeat.HasField("as_of")
    # A caller learns the times of its own changes only.
    assert [message.as_of for message in (one, two)] == [message.events[-1].observed_time for message in (one, two)]
    assert end.as_of.ToMicroseconds() >= two.as_of.ToMicroseconds()


async def test_cursors_that_cannot_be_continued(gateway: IndexedGateway, tmp_path: Path, registry: DevRegistry) -> None:
    cursor = await opened(tmp_path, registry, (await gateway.stub.Catalog(CatalogRequest())).cursor)
    foreign = WatchCursor("another", cursor.sequence)
    ahead = WatchCursor(cursor.epoch, cursor.sequence + 1)
    # The last is of another version of the gateway.
    for unknown in (foreign.encode(), ahead.encode(), "AwAA"):
        code, _ = await Watch(gateway, WatchEventsRequest(after_cursor=unknown)).failure()
        assert code is grpc.StatusCode.OUT_OF_RANGE
    code, _ = await Watch(gateway, WatchEventsRequest(after_cursor="rubbish")).failure()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    async with SqliteStore(tmp_path / "index.db", registry.url, keeps=False) as store:
        await store.forget((await store.state()).now + 1, most=2)
        exactly = Watch(gateway, WatchEventsRequest(after_cursor=WatchCursor(cursor.epoch, 2).encode()))
        assert len(await exactly.until(cursor.sequence - 2)) == cursor.sequence - 2
        exactly.end()
        before = Watch(gateway, WatchEventsRequest(after_cursor=WatchCursor(cursor.epoch, 1).encode()))
        code, details = await before.failure()
        assert code is grpc.StatusCode.OUT_OF_RANGE
        assert "list again" in details
        running = Watch(gateway, WatchEventsRequest())
        await running.message()
        await store.rebuild()
        assert (await running.failure())[0] is grpc.StatusCode.OUT_OF_RANGE


async def test_without_an_index(registry: DevRegistry, tmp_path: Path) -> None:
    async with indexed_gateway(registry, tmp_path, with_index=False) as gateway:
        code, details = await Watch(gateway, WatchEventsRequest()).failure()
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "PORTUS_INDEX" in details


async def test_before_the_first_walk_has_ended(tmp_path: Path) -> None:
    async with DevRegistry(auth="anonymous") as registry:
        registry.push("team/app", "v1")
        with registry.inject(Fault.parse("catalog:status=503")):
            async with indexed_gateway(registry, tmp_path) as gateway:
                await until(lambda: _is_building(gateway))
                code, _ = await Watch(gateway, WatchEventsRequest()).failure()
                assert code is grpc.StatusCode.UNAVAILABLE


async def test_a_gateway_that_stops_ends_its_watches_at_once(registry: DevRegistry, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        async with indexed_gateway(registry, tmp_path) as gateway:
            await gateway.ready()
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(str(gateway.running.address)))
            watch = Watch(IndexedGateway(RegistryServiceStub(channel), gateway.running), WatchEventsRequest())
            await watch.message()
            failure = asyncio.create_task(watch.failure())
        assert (await failure)[0] is grpc.StatusCode.UNAVAILABLE


async def test_watches_do_not_use_up_the_calls(registry: DevRegistry, tmp_path: Path) -> None:
    async with indexed_gateway(registry, tmp_path, max_concurrent_calls="2", max_watches="8") as gateway:
        await gateway.ready()
        watches = [Watch(gateway, WatchEventsRequest()) for _ in range(6)]
        for watch in watches:
            await watch.message()
        assert (await gateway.stub.Catalog(CatalogRequest())).cursor != ""
        one_too_many = Watch(gateway, WatchEventsRequest())
        assert (await one_too_many.failure())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        for watch in watches:
            watch.end()


async def test_a_watch_ends_well_at_its_time_limit(registry: DevRegistry, tmp_path: Path) -> None:
    async with indexed_gateway(registry, tmp_path, max_stream_duration="2s") as gateway:
        await gateway.ready()
        call = gateway.stub.WatchEvents(WatchEventsRequest())
        async with asyncio.timeout(10):
            assert [message async for message in call]
            assert await call.code() is grpc.StatusCode.OK


async def _is_building(gateway: IndexedGateway) -> bool:
    info = await gateway.stub.GetRegistryInfo(GetRegistryInfoRequest())
    return info.index.state == info.index.BUILDING
