"""A run: gateways with an index over a real registry that changes, while everything around it fails."""

import asyncio
import hashlib
import random
import time
from asyncio import Task
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import aiohttp

from portus.registry.v1.registry_service_pb2 import CatalogRequest
from portus_gateway.index.postgres import PostgresStore
from portus_gateway.index.sql_store import SqlStore
from portus_gateway.index.sqlite import SqliteStore
from portus_gateway.index.store import Change
from tests import programs
from tests.convergence.changes import REPOSITORIES, Changes, content_of_registry
from tests.convergence.disruptions import Disruptions
from tests.convergence.history import RegistryHistory
from tests.convergence.notification_faults import notification_faults
from tests.convergence.questions import Questions, problems_of
from tests.convergence.replicas import Replicas, has_index
from tests.convergence.watcher import Watcher
from tests.index.postgres_server import PostgresServer, postgres_server
from tests.real.registry_process import RegistryProcess, Settings, serving, storage_of

Content: TypeAlias = dict[str, dict[str, str]]
Store: TypeAlias = Literal["sqlite", "postgres"]
Disruption: TypeAlias = Callable[[], Coroutine[None, None, None]]

TOKEN = "the registry's"
# How many repositories are changed at the same time.
_AT_ONCE = 4
# A disruption after so many changes, in a long run.
_BETWEEN_DISRUPTIONS = 150
# Seconds between two looks at the table of changes, in a run with a bug.
_LOOK = 1.0
_LONGEST_OUTAGE = 4.0
# Changes in each of the quiet phases at the end.
_FEW = 24
# Seconds until index and registry have to be equal. Without notifications, walks are at most a tenth of the time, and
# reads that failed are repeated after some seconds. With them, a push is announced before its tag is written.
CONVERGENCE = 60.0
WITH_NOTIFICATIONS = 12.0
# The index reads a repository again so many seconds after several reads failed. On a busy machine, they do.
_LONGEST_RETRY = 375.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to be."""

    seed: int
    operations: int
    program: Callable[[], str]
    store: Store
    bug: str | None = None
    """The name of a bug in `planted_bugs`. The run ends at the first violation then."""
    convergence: float = CONVERGENCE


@dataclass
class Report:
    """What happened in a run. `violations` is what must not happen."""

    violations: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)


class _Violated(Exception):
    """A run with a bug need not go on."""


class Run:
    """One run. `run` makes it."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        self._choice = random.Random(f"{plan.seed} {plan.store} {plan.program.__name__}")
        self._history = RegistryHistory()
        self._disruptions = Disruptions()
        self._report = Report()
        self._watchers: list[Watcher] = []
        self._tasks: list[Task[None]] = []
        self._next_look = 0.0

    @property
    def _has_workers(self) -> bool:
        # A bug is planted into the first process of a gateway only.
        return self._plan.store == "sqlite" and self._plan.bug is None

    async def run(self) -> Report:
        async with AsyncExitStack() as stack:
            await self._prepare(stack)
            try:
                await self._phases()
            except _Violated:
                pass
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
            self._report.violations += self._changes.violations + self._questions.violations
            await self._check_changes()
        return self._report

    async def _prepare(self, stack: AsyncExitStack) -> None:
        plan, folder = self._plan, self._folder
        tokens = folder / "tokens"
        tokens.write_text(f"registry sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
        self._postgres: PostgresServer | None = None
        address = f"sqlite://{folder}/index.db"
        if plan.store == "postgres":
            self._postgres = stack.enter_context(postgres_server())
            address = self._postgres.new_database()
        self._address = address
        self._replicas = Replicas({}, self._choice, plan.bug)
        self._faults, endpoint = await stack.enter_async_context(
            notification_faults(self._choice, TOKEN, self._replicas.notification_addresses)
        )
        self._notifications: Settings = {
            "endpoints": [
                {
                    "name": "index",
                    "url": endpoint,
                    "timeout": "1s",
                    "threshold": 2,
                    "backoff": "100ms",
                    "ignoredmediatypes": ["application/octet-stream"],
                }
            ]
        }
        self._registry_life = AsyncExitStack()
        stack.push_async_callback(self._registry_life.aclose)
        self._registry = await self._start_registry(0)
        self._replicas.variables |= {
            "PORTUS_REGISTRY_URL": self._registry.url,
            "PORTUS_REGISTRY_ANONYMOUS": "true",
            "PORTUS_INDEX": address,
            "PORTUS_NOTIFICATIONS_LISTEN": "127.0.0.1:0",
            "PORTUS_NOTIFICATIONS_TOKEN_FILE": str(tokens),
            "PORTUS_ALLOW_DELETE": "true",
            "PORTUS_AUDIT_LOG": str(folder / "audit.log"),
            "PORTUS_DRAIN_GRACE": "1s",
            "PORTUS_READINESS_INTERVAL": "1s",
            # Several processes answer from one SQLite file, too.
            "PORTUS_WORKERS": "2" if self._has_workers else "1",
            # Walks as often as they may be, and every digest in each: what is lost is found within some seconds.
            "PORTUS_INDEX_WALK_INTERVAL": "1s",
            "PORTUS_INDEX_DIGEST_INTERVAL": "1ms",
        }
        self._session = await stack.enter_async_context(aiohttp.ClientSession())
        self._changes = Changes(
            self._choice,
            self._history,
            self._replicas,
            self._disruptions,
            url=lambda: self._registry.url,
            storage=storage_of(folder / "registry"),
            deletes_tags=plan.program is programs.distribution,
        )
        self._questions = Questions(self._choice, self._history, self._replicas.any)
        stack.push_async_callback(self._replicas.aclose)
        for _ in range(1 if plan.store == "sqlite" else 2):
            await self._replicas.start()
        replica = self._replicas.running[0]
        cursor = (await replica.stub.Catalog(CatalogRequest())).cursor
        self._watch(Watcher(self._replicas.any, cursor=cursor))
        self._watch(Watcher(self._replicas.any))
        self._do(self._questions.ask_for_ever())

    async def _phases(self) -> None:
        plan = self._plan
        began = time.monotonic()
        await self._make_changes(plan.operations, self._disruptions_of(plan.operations))
        self._report.figures["changes/s"] = round(plan.operations / (time.monotonic() - began))
        # What the faults kept from the index is found by walks.
        await self._converge("after the faults", plan.convergence)
        # Without any notification: only walks find it.
        self._faults.silent = True
        await self._make_changes(_FEW)
        await self._converge("without notifications", plan.convergence)
        # With notifications, and without walks, but the one that each leader begins with.
        self._faults.silent, self._faults.faulty = False, False
        self._replicas.variables |= {"PORTUS_INDEX_WALK_INTERVAL": "1h", "PORTUS_INDEX_DIGEST_INTERVAL": "1h"}
        with self._disruptions.one():
            running = tuple(self._replicas.running)
            await asyncio.gather(*map(self._replicas.stop, running))
            await asyncio.gather(*(self._replicas.start() for _ in running))
        await self._converge("after a restart", plan.convergence)
        await self._has_walked_for_the_last_time()
        await self._make_changes(_FEW, removes=False)
        await self._converge("with notifications", min(plan.convergence, WITH_NOTIFICATIONS))
        await self._check_watchers()

    async def _make_changes(self, number: int, disruptions: Sequence[Disruption] = (), *, removes: bool = True) -> None:
        """Makes at least so many changes, and goes on while the disruptions run, which are spread over them."""
        waiting = deque(disruptions)
        every = number / (len(waiting) + 1)
        running: Task[None] | None = None
        made = 0
        while made < number or waiting or running is not None:
            if running is not None and running.done():
                running.result()
                running = None
            if running is None and waiting and made >= every * (len(disruptions) - len(waiting) + 1):
                disruption = waiting.popleft()
                self._figure(disruption.__name__.strip("_"))
                if disruption == self._restart_the_registry:
                    # While nothing is pushed: a push that fails may have been made, or not.
                    await disruption()
                else:
                    running = asyncio.create_task(disruption())
            names = self._choice.sample(REPOSITORIES, _AT_ONCE)
            await asyncio.gather(*(self._changes.make_one(self._session, name, removes=removes) for name in names))
            made += len(names)
            await asyncio.sleep(self._choice.uniform(0.0, 0.04))
            await self._look()

    def _disruptions_of(self, number: int) -> list[Disruption]:
        """One of each kind, and more in a long run."""
        kinds: list[Disruption] = [self._kill_a_gateway, self._restart_the_registry]
        if self._has_workers:
            kinds.append(self._kill_a_worker)
        if self._postgres is not None:
            kinds += [self._restart_the_store, self._kill_all_gateways]
        self._choice.shuffle(kinds)
        more = number // _BETWEEN_DISRUPTIONS - len(kinds)
        return kinds + [self._choice.choice(kinds) for _ in range(more)]

    async def _kill_a_gateway(self) -> None:
        with self._disruptions.one():
            await self._replicas.kill(self._choice.choice(self._replicas.running))
            await self._replicas.start()
        if len(self._watchers) == 2:
            self._watch(Watcher(self._replicas.any, prefix="team1/"))

    async def _kill_all_gateways(self) -> None:
        with self._disruptions.one():
            count = len(self._replicas.running)
            for _ in range(count):
                await self._replicas.kill(self._replicas.running[0])
            await asyncio.gather(*(self._replicas.start() for _ in range(count)))

    async def _kill_a_worker(self) -> None:
        replica = self._replicas.running[0]
        with self._disruptions.one():
            replaced = replica.replaced_workers()
            self._replicas.kill_a_worker(replica)
            await self._until(lambda: replica.replaced_workers() > replaced, CONVERGENCE)

    async def _restart_the_store(self) -> None:
        """PostgreSQL ends as in a crash: nothing is written to the end but what was committed."""
        assert self._postgres is not None
        with self._disruptions.one():
            await asyncio.to_thread(self._postgres.stop)
            await asyncio.to_thread(self._postgres.start)
            for replica in tuple(self._replicas.running):
                async with asyncio.timeout(CONVERGENCE):
                    while not await has_index(replica.stub):
                        await asyncio.sleep(0.05)

    async def _restart_the_registry(self) -> None:
        """What waits in its queue is lost. Reads fail while it is away, also after all tries."""
        if self._choice.random() < 0.5:
            self._registry.kill()
        await self._registry_life.aclose()
        await asyncio.sleep(self._choice.uniform(0.0, _LONGEST_OUTAGE))
        self._registry = await self._start_registry(int(self._registry.authority.rpartition(":")[2]))

    async def _start_registry(self, port: int) -> RegistryProcess:
        return await self._registry_life.enter_async_context(
            serving(
                self._plan.program(),
                self._folder / "registry",
                auth=None,
                port=port,
                notifications=self._notifications,
            )
        )

    async def _converge(self, phase: str, seconds: float) -> None:
        """Waits until the index has what the registry has, and all gateways say so."""
        began = time.monotonic()
        expected = await content_of_registry(self._session, self._registry.url)
        found: Content = {}
        async with self._store() as store:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while (found := await content_of_index(store)) != expected:
                        await self._look()
                        await asyncio.sleep(0.05)
        if found != expected:
            self._report.violations.append(f"{phase}, index and registry differ: {_difference(found, expected)}")
            await self._look()
            return
        self._report.figures[f"equal {phase} in s"] = round(time.monotonic() - began, 2)
        names = {name: sorted(tags) for name, tags in expected.items()}
        request = CatalogRequest(page_size=1000, include_tags=True)
        request.max_staleness.FromSeconds(3600)
        for replica in self._replicas.running:
            listed = {entry.name: list(entry.tags) for entry in (await replica.stub.Catalog(request)).repositories}
            if listed != names:
                self._report.violations.append(f"{phase}, a gateway lists {listed} in place of {names}")

    async def _has_walked_for_the_last_time(self) -> None:
        """Waits until no walk is due, nor a read that one has asked for."""
        settled = 0
        ends = time.monotonic() + _LONGEST_RETRY
        async with self._store() as store:
            # A gateway that has started asks for a walk a little later.
            while settled < 20:
                state = await store.state(counted=True)
                settled = settled + 1 if not state.walk_requested and not state.dirty else 0
                assert time.monotonic() < ends, state
                await asyncio.sleep(0.1)

    async def _check_watchers(self) -> None:
        async with self._store() as store:
            state = await store.state()
        with suppress(TimeoutError):
            await self._until(
                lambda: all(watcher.position(state.epoch) >= state.head for watcher in self._watchers), CONVERGENCE
            )
        expected = await content_of_registry(self._session, self._registry.url)
        for watcher in self._watchers:
            picture = watcher.picture()
            wanted = {
                name: {tag: digest for tag, digest in tags.items() if digest}
                for name, tags in expected.items()
                if name.startswith(watcher.prefix)
            }
            if picture is not None and picture != wanted:
                self._report.violations.append(f"a watch sees {_difference(picture, wanted)}")

    async def _read_changes(self) -> tuple[list[Change], str]:
        """All changes that the index saw, and its epoch."""
        changes: list[Change] = []
        async with self._store() as store:
            while more := (await store.changes(changes[-1].sequence if changes else 0)).changes:
                changes += more
            return changes, (await store.state()).epoch

    async def _check_changes(self) -> None:
        """Compares what the index saw with what was true, and with what the watches were told."""
        changes, epoch = await self._read_changes()
        self._report.violations += problems_of(changes, self._history)
        for watcher in self._watchers:
            self._report.violations += watcher.problems(changes, epoch)
        self._report.figures |= {
            "changes": sum(self._changes.counts.values()),
            "changes in the index": len(changes),
            "interruptions of watches": sum(watcher.interruptions for watcher in self._watchers),
            **self._changes.counts,
            **self._questions.counts,
            **self._faults.counts,
        }

    def _store(self) -> SqlStore:
        """The store as another process of the gateway opens it."""
        if self._postgres is not None:
            return PostgresStore(self._address, self._registry.url)
        return SqliteStore(self._folder / "index.db", self._registry.url, keeps=False)

    def _watch(self, watcher: Watcher) -> None:
        self._watchers.append(watcher)
        self._do(watcher.watch_for_ever())

    def _do(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _look(self) -> None:
        """Ends the run where somebody has failed, or where a bug was noticed."""
        for task in self._tasks:
            if task.done():
                task.result()
        if self._plan.bug is None:
            return
        noticed = [*self._report.violations, *self._changes.violations, *self._questions.violations]
        noticed += [violation for watcher in self._watchers for violation in watcher.violations]
        if not noticed and time.monotonic() > self._next_look:
            self._next_look = time.monotonic() + _LOOK
            noticed = problems_of((await self._read_changes())[0], self._history)
        if noticed:
            raise _Violated

    def _figure(self, name: str) -> None:
        self._report.figures[name] = self._report.figures.get(name, 0) + 1

    async def _until(self, holds: Callable[[], bool], seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.05)


async def content_of_index(store: SqlStore) -> Content:
    """As `content_of_registry`: a tag that the registry lists and does not resolve has no digest."""
    found: Content = {}
    for entry in await store.repository_tags(("", ""), "", 100_000):
        tags = found.setdefault(entry.repository, {})
        if entry.tag:
            tags[entry.tag] = "" if entry.digest is None else entry.digest.text
    return found


def _difference(found: Content, expected: Content) -> str:
    return "; ".join(
        f"{name}: {found.get(name)} in place of {expected.get(name)}"
        for name in sorted(found.keys() | expected.keys())
        if found.get(name) != expected.get(name)
    )
