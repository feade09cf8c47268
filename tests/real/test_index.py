"""The index over real registries converges, whatever happens to notifications, to the registry and to the index.

INDEX_SEED chooses what happens, and INDEX_OPERATIONS how much of it.
"""

import asyncio
import hashlib
import os
import random
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from portus_gateway.access.token_file import TokenFile
from portus_gateway.devregistry import Content, image
from portus_gateway.distribution import Configuration, DistributionClient
from portus_gateway.distribution.errors import DistributionError
from portus_gateway.distribution.names import Repository
from portus_gateway.errors import GatewayError
from portus_gateway.index.live_index import IndexPlan, LiveIndex
from portus_gateway.index.postgres import PostgresStore
from portus_gateway.index.receiver import Receiver
from portus_gateway.index.sql_store import SqlStore
from portus_gateway.index.sqlite import SqliteStore
from portus_gateway.index.store import Change, ChangeType
from portus_gateway.index.watch_cursor import WatchCursor
from portus_gateway.listen_address import ListenAddress
from portus_gateway.operations.catalog_listing import CatalogListing
from portus_gateway.operations.index_answers import EverythingVisible, IndexAnswers
from portus_gateway.operations.watching import WantedEvents, Watching
from tests import programs
from tests.index.postgres_server import postgres_server
from tests.index.registries import Observed, content_of
from tests.real.notification_faults import NotificationFaults, notification_faults
from tests.real.registry_process import RegistryProcess, Settings, serving

SEED = int(os.environ.get("INDEX_SEED", "1"))
OPERATIONS = int(os.environ.get("INDEX_OPERATIONS", "400"))
TOKEN = "the registry's"
REPOSITORIES = [f"team{number % 3}/app{number}" for number in range(12)]
TAGS = [f"t{number}" for number in range(6)]
CONTENTS = [image(f"content {number}") for number in range(5)]
# Walks as often as they may be, and every digest in each: what is lost is found within some seconds.
PLAN = IndexPlan(share=4, walk_interval=1.0, digest_interval=0.0, history=3600.0)
STALENESS = 3.0
# A walk is at most a tenth of the time; and reads have to be repeated.
CONVERGENCE = 60.0


@dataclass
class Replica:
    """An index and its receiver."""

    index: LiveIndex
    receiver: Receiver


@dataclass
class Lives:
    """When each tag was there: from when it may have been, until when."""

    since: dict[tuple[str, str], float] = field(default_factory=dict)
    until: dict[tuple[str, str], float] = field(default_factory=dict)

    def written(self, repository: str, tags: Mapping[str, str] | list[str], before: float) -> None:
        for tag in tags:
            self.since.setdefault((repository, tag), before)
            self.until.pop((repository, tag), None)

    def gone(self, repository: str, tags: list[str], after: float) -> None:
        for tag in tags:
            self.until[repository, tag] = after


class Pusher:
    """Pushes, moves and deletes tags at random, and remembers what the registry has."""

    def __init__(self, choice: random.Random, url: Callable[[], str], *, deletes_tags: bool) -> None:
        self._choice = choice
        self._url = url
        self._deletes_tags = deletes_tags
        self.lives = Lives()
        self._tags: dict[str, dict[str, str]] = {name: {} for name in REPOSITORIES}

    async def prepare(self, session: aiohttp.ClientSession) -> None:
        for name in REPOSITORIES:
            for content in CONTENTS:
                for digest, blob in content.blobs.items():
                    async with session.post(f"{self._url()}/v2/{name}/blobs/uploads/") as started:
                        place = URL(started.headers["Location"]).update_query(digest=digest)
                    async with session.put(place, data=blob) as answer:
                        assert answer.status == 201

    async def step(self, session: aiohttp.ClientSession) -> None:
        name = self._choice.choice(REPOSITORIES)
        known = self._tags[name]
        kind = self._choice.random()
        before = time.time()
        if kind < 0.75 or not known:
            content, tag = self._choice.choice(CONTENTS), self._choice.choice(TAGS)
            # The index may see the tag before the answer to the push comes.
            self.lives.written(name, [tag], before)
            await self._put(session, name, tag, content)
            known[tag] = content.digest
        elif kind < 0.88 or not self._deletes_tags:
            digest = self._choice.choice(sorted(known.values()))
            await self._delete(session, name, digest)
            tags = [tag for tag, target in known.items() if target == digest]
            for tag in tags:
                del known[tag]
            self.lives.gone(name, tags, time.time())
        else:
            tag = self._choice.choice(sorted(known))
            await self._delete(session, name, tag)
            del known[tag]
            self.lives.gone(name, [tag], time.time())

    async def _put(self, session: aiohttp.ClientSession, name: str, tag: str, content: Content) -> None:
        async with session.put(
            f"{self._url()}/v2/{name}/manifests/{tag}",
            data=content.manifest,
            headers={"Content-Type": content.media_type},
        ) as answer:
            assert answer.status == 201, await answer.text()

    async def _delete(self, session: aiohttp.ClientSession, name: str, reference: str) -> None:
        async with session.delete(f"{self._url()}/v2/{name}/manifests/{reference}") as answer:
            assert answer.status == 202, await answer.text()


class Watcher:
    """Watches, goes on at its cursor after each interruption, and keeps its own picture of the registry."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.cursor: WatchCursor | None = None
        self.has_current_state = False
        self.interruptions = 0

    async def follow(self, replica: Callable[[], Replica | None]) -> None:
        while True:
            current = replica()
            if current is None:
                await asyncio.sleep(0.02)
                continue
            wanted = WantedEvents("", frozenset(), self.cursor, self.cursor is None, heartbeat=1.0)
            try:
                async with aclosing(Watching(current.index, EverythingVisible()).watch(wanted)) as messages:
                    async for message in messages:
                        self.changes += message.changes
                        self.has_current_state |= message.current_state_complete
                        self.cursor = WatchCursor.decode(message.cursor)
            except GatewayError:
                self.interruptions += 1
                await asyncio.sleep(0.05)

    def picture(self) -> dict[str, dict[str, str]]:
        """What the changes say. Fails where one is missing or out of order."""
        found: dict[str, dict[str, str]] = {}
        for change in self.changes:
            match change.type:
                case ChangeType.REPOSITORY_CREATED:
                    assert change.repository not in found
                    found[change.repository] = {}
                case ChangeType.REPOSITORY_DELETED:
                    assert found.pop(change.repository) == {}
                case _:
                    tags = found[change.repository]
                    previous = None if change.previous_digest is None else change.previous_digest.text
                    assert tags.pop(change.tag, None) == previous, change
                    if change.digest is not None:
                        tags[change.tag] = change.digest.text
        return found


async def truth(url: str) -> dict[str, dict[str, str]]:
    """What the registry has."""
    found: dict[str, dict[str, str]] = {}
    async with DistributionClient(Configuration(url=url)) as client:
        for name in (await client.list_repositories(1000)).items:
            assert isinstance(name, Repository)
            tags = found.setdefault(name.name, {})
            try:
                listed = (await client.list_tags(name, 1000)).items
            except DistributionError as error:
                if error.reason != "NAME_UNKNOWN":
                    raise
                continue
            for tag in listed:
                tags[str(tag)] = (await client.resolve_manifest(name, tag)).digest.text  # type: ignore[arg-type]
    return found


async def check_answers(replica: Callable[[], Replica | None], lives: Lives) -> None:
    """Asks for tags that may be some seconds old, and checks that each was there in that time."""
    choice = random.Random(SEED)
    while True:
        await asyncio.sleep(0.05)
        current = replica()
        if current is None:
            continue
        name = choice.choice(REPOSITORIES)
        listing: CatalogListing | None = None
        answers = IndexAnswers(current.index, EverythingVisible(), listing)  # type: ignore[arg-type]  # no catalogs here
        asked = time.time()
        found = await answers.tags(Repository(name), 1000, None, STALENESS)
        if found is None:
            continue
        assert found.freshness.as_of >= asked - STALENESS
        for tag in map(str, found.page.items):
            assert lives.since[name, tag] <= time.time()
            gone = lives.until.get((name, tag))
            assert gone is None or gone >= found.freshness.as_of - 0.05, (name, tag, gone, found.freshness)


@asynccontextmanager
async def replica_on(
    store: Callable[[], SqlStore], url: str, tokens: TokenFile, faults: NotificationFaults
) -> AsyncGenerator[Replica, None]:
    async with (
        DistributionClient(Configuration(url=url)) as client,
        LiveIndex(store, client, Observed(), PLAN, keeps=True) as index,
        Receiver(index, tokens, ListenAddress("127.0.0.1", 0), Observed()) as receiver,
    ):
        faults.target = f"http://{receiver.address}/notifications"
        try:
            yield Replica(index, receiver)
        finally:
            faults.target = None


def notifications_to(url: str) -> Settings:
    endpoint: Settings = {
        "name": "index",
        "url": url,
        "timeout": "500ms",
        "threshold": 2,
        "backoff": "100ms",
        "ignoredmediatypes": ["application/octet-stream"],
    }
    return {"endpoints": [endpoint]}


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.parametrize("program", [programs.docker_registry, programs.distribution], ids=["2.8", "3.1"])
async def test_the_index_converges(program: Callable[[], str], kind: str, tmp_path: Path) -> None:
    choice = random.Random(f"{SEED} {kind} {program.__name__}")
    tokens = tmp_path / "tokens"
    tokens.write_text(f"registry sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    token_file = TokenFile(tokens)
    current: RegistryProcess | None = None
    replicas: list[Replica] = []

    def url() -> str:
        assert current is not None
        return current.url

    def a_replica() -> Replica | None:
        return choice.choice(replicas) if replicas else None

    async with AsyncExitStack() as stack:
        faults, endpoint = await stack.enter_async_context(notification_faults(choice, TOKEN))
        settings = notifications_to(endpoint)
        registry = AsyncExitStack()
        stack.push_async_callback(registry.aclose)
        current = await registry.enter_async_context(
            serving(program(), tmp_path / "registry", auth=None, notifications=settings)
        )
        address = current.url
        port = int(current.authority.rpartition(":")[2])
        if kind == "postgres":
            server = stack.enter_context(postgres_server())
            database = server.new_database()
            stores: list[Callable[[], SqlStore]] = [lambda: PostgresStore(database, address)] * 2
        else:
            stores = [lambda: SqliteStore(tmp_path / "index.db", address)]
        session = await stack.enter_async_context(aiohttp.ClientSession())
        pusher = Pusher(choice, url, deletes_tags=program is programs.distribution)
        await pusher.prepare(session)
        running: list[tuple[AsyncExitStack, Replica]] = []

        async def start(number: int) -> None:
            one = AsyncExitStack()
            replica = await one.enter_async_context(replica_on(stores[number], address, token_file, faults))
            running.append((one, replica))
            replicas.append(replica)

        async def stop() -> None:
            one, replica = running.pop(0)
            replicas.remove(replica)
            await one.aclose()
            if running:
                faults.target = f"http://{running[0][1].receiver.address}/notifications"

        for number in range(len(stores)):
            await start(number)
        watcher = Watcher()
        tasks = [
            asyncio.create_task(watcher.follow(a_replica)),
            asyncio.create_task(check_answers(a_replica, pusher.lives)),
        ]
        try:
            async with asyncio.timeout(30):
                while not watcher.has_current_state:
                    await asyncio.sleep(0.02)
            for number in range(OPERATIONS):
                await pusher.step(session)
                if number in (OPERATIONS // 4, OPERATIONS // 2):
                    # The index restarts, and with it its store's connection.
                    await stop()
                    await pusher.step(session)
                    await start(0)
                if number == OPERATIONS // 3:
                    # What waits in the registry's queue is lost.
                    await registry.aclose()
                    current = await registry.enter_async_context(
                        serving(program(), tmp_path / "registry", auth=None, port=port, notifications=settings)
                    )
                for task in tasks:
                    if task.done():
                        task.result()
            expected = await truth(url())
            await equal(replicas[0].index, expected)
            await until_watched(watcher, expected)
            # With notifications that arrive, within seconds.
            faults.faulty = False
            began = time.monotonic()
            for _ in range(20):
                await pusher.step(session)
            await equal(replicas[0].index, await truth(url()))
            assert time.monotonic() - began < 15
            assert faults.received > OPERATIONS / 4
            assert faults.dropped > 0
            assert watcher.interruptions >= 1
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            while running:
                await stop()


async def equal(index: LiveIndex, expected: dict[str, dict[str, str]]) -> None:
    found: dict[str, dict[str, str]] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(CONVERGENCE):
            while (found := await content_of(index)) != expected:
                await asyncio.sleep(0.1)
    assert found == expected


async def until_watched(watcher: Watcher, expected: dict[str, dict[str, str]]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(CONVERGENCE):
            while watcher.picture() != expected:
                await asyncio.sleep(0.1)
    assert watcher.picture() == expected
