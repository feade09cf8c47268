"""An index over a registry in memory, for the tests."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from portus_gateway.devregistry import DevRegistry
from portus_gateway.distribution import Configuration, DistributionClient
from portus_gateway.index.live_index import IndexPlan, LiveIndex
from portus_gateway.index.observer import NotificationOutcome, ReadOutcome, RequestOutcome
from portus_gateway.index.sqlite import SqliteStore
from portus_gateway.index.store import IndexState, StoreLimits
from tests.distribution.upstream import Upstream

PLAN = IndexPlan(share=4, walk_interval=3600, digest_interval=3600, history=3600)


class Observed:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.events: dict[str, int] = {}
        self.requests: list[str] = []
        self.reads: list[str] = []
        self.changes: dict[str, int] = {}
        self.unconfirmed = 0
        self.delays: list[float] = []
        self.walks: list[bool] = []
        self.failed_walks = 0
        self.leads = False
        self.tags: list[int] = []
        self.watches = 0
        self.lags: list[float] = []

    def notified(self, outcome: NotificationOutcome, count: int) -> None:
        self.events[outcome] = self.events.get(outcome, 0) + count

    def notification_request(self, outcome: RequestOutcome) -> None:
        self.requests.append(outcome)

    def repository_read(self, outcome: ReadOutcome, seconds: float) -> None:
        self.reads.append(outcome)

    def changes_found(self, source: str, count: int) -> None:
        self.changes[source] = self.changes.get(source, 0) + count

    def hints_unconfirmed(self, count: int) -> None:
        self.unconfirmed += count

    def notification_delay(self, seconds: float) -> None:
        self.delays.append(seconds)

    def looked_at(self, state: IndexState | None, *, leads: bool) -> None:
        self.leads = leads
        if state is not None:
            self.tags.append(state.tags)

    def watching(self, change: int) -> None:
        self.watches += change

    def watched(self, lag: float) -> None:
        self.lags.append(lag)

    def walked(self, seconds: float, *, held: bool) -> None:
        self.walks.append(held)

    def walk_failed(self) -> None:
        self.failed_walks += 1


@asynccontextmanager
async def indexed(
    registry: DevRegistry | Upstream,
    path: Path,
    *,
    plan: IndexPlan = PLAN,
    observed: Observed | None = None,
    limits: StoreLimits | None = None,
) -> AsyncGenerator[LiveIndex, None]:
    """An index of `registry`, once its store is open."""

    def store() -> SqliteStore:
        return SqliteStore(path, registry.url, limits=limits)

    async with (
        DistributionClient(Configuration(url=registry.url)) as client,
        LiveIndex(store, client, observed or Observed(), plan, keeps=True) as index,
    ):
        async with asyncio.timeout(10):
            await index.opened()
        yield index


async def content_of(index: LiveIndex) -> dict[str, dict[str, str]]:
    """What the index has: repository, tag and digest."""
    found: dict[str, dict[str, str]] = {}
    for entry in await index.store.repository_tags(("", ""), "", 100_000):
        tags = found.setdefault(entry.repository, {})
        if entry.digest is not None:
            tags[entry.tag] = entry.digest.text
    return found


def content_in(registry: DevRegistry) -> dict[str, dict[str, str]]:
    return {name: registry.tags(name) for name in registry.repositories()}


async def until(holds: Callable[[], Awaitable[bool] | bool], seconds: float = 10) -> None:
    """Waits until a condition holds."""
    async with asyncio.timeout(seconds):
        while True:
            result = holds()
            if result if isinstance(result, bool) else await result:
                return
            # No event tells what a registry and a database have by now.
            await asyncio.sleep(0.01)


async def equal(index: LiveIndex, registry: DevRegistry, seconds: float = 10) -> None:
    """Waits until the index has what the registry has."""

    async def same() -> bool:
        return await content_of(index) == content_in(registry)

    try:
        await until(same, seconds)
    except TimeoutError:
        assert await content_of(index) == content_in(registry)
