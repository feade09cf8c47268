"""The index of one gateway process: opens its store, keeps it up to date, and opens it again after a failure."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, NoReturn, Self

import structlog

from portus_gateway.aio.spans import Tracer
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.index.change_feed import ChangeFeed
from portus_gateway.index.errors import IndexUnavailable, StoreError, StoreUnusable
from portus_gateway.index.observer import IndexObserver
from portus_gateway.index.reader import Reader
from portus_gateway.index.source import Source
from portus_gateway.index.sql_store import SqlStore
from portus_gateway.index.store import IndexState, IndexStore, Notice
from portus_gateway.index.walker import Walker

_log = structlog.get_logger(__name__)

# Before the store is opened again, in seconds; doubled each time.
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
# How long a starting gateway waits for the store, in seconds.
_PATIENCE: Final = 5.0
# How often its numbers are counted, in seconds, and the pause in between: so many times as long as the counting takes.
_LOOK: Final = 15.0
_COUNT_PAUSE: Final = 50.0
# How often a process looks whether it leads now, in seconds.
_LOOK_FOR_LEAD: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPlan:
    """How an index is kept up to date. Durations are in seconds."""

    share: int
    """How many requests to the registry the index may have running."""
    walk_interval: float
    digest_interval: float
    history: float


class LiveIndex:
    """The index; an async context manager. Where the store cannot be used, the gateway goes on without it.

    With `keeps`, this process keeps the index up to date. Other processes of the same gateway only answer from it.
    """

    def __init__(
        self,
        open_store: Callable[[], SqlStore],
        source: Source,
        observer: IndexObserver,
        plan: IndexPlan,
        *,
        keeps: bool,
        tracer: Tracer | None = None,
    ) -> None:
        self._open_store = open_store
        self._source = source
        self.observer = observer
        self._plan = plan
        self._keeps = keeps
        self._tracer = tracer
        self._store: SqlStore | None = None
        self._reader: Reader | None = None
        self._walker: Walker | None = None
        self._problem = "it is not open yet"
        self._opened = asyncio.Event()
        self._tried = asyncio.Event()
        self._needs_walk = asyncio.Event()
        self.changed = asyncio.Event()
        """Set when this process has written changes."""
        self.feed = ChangeFeed(self.changed)
        """Wakes watchers."""

    async def __aenter__(self) -> Self:
        self._life = asyncio.create_task(self._live())
        # The first callers find the index open, unless its store is slow or cannot be used.
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self._tried.wait()
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._life.cancel()
        await asyncio.gather(self._life, return_exceptions=True)
        await self.feed.close()

    @property
    def store(self) -> IndexStore:
        """The store. Raises `IndexUnavailable`."""
        if self._store is None:
            raise IndexUnavailable(self._problem)
        return self._store

    @property
    def problem(self) -> str:
        """Why the store cannot be used; empty if it can."""
        return self._problem

    @property
    def leads(self) -> bool:
        """Whether this process leads."""
        return self._walker is not None and self._walker.leads

    async def state(self, *, counted: bool = False) -> IndexState:
        """Raises `IndexUnavailable`."""
        try:
            return await self.store.state(counted=counted)
        except StoreError as error:
            raise IndexUnavailable(str(error)) from error

    async def opened(self) -> None:
        """Returns when the store is open."""
        await self._opened.wait()

    async def notify(self, notices: Sequence[Notice], instances: Sequence[str]) -> int:
        """Takes in what notifications say. Raises `StoreError`."""
        if self._store is None:
            raise StoreError(self._problem)
        dropped = await self._store.notify(notices, instances)
        if self._reader is not None:
            self._reader.notified()
        return dropped

    def want_walk(self) -> None:
        """Asks the leader, which may be another process, for a walk, as soon as the store can be used.

        For what the index has missed: while the registry was away, or because the store failed.
        """
        self._needs_walk.set()

    async def refresh(self, repositories: Sequence[str]) -> None:
        """Has repositories read again, because a caller wanted to know them as they are now."""
        try:
            await self.store.request_read(repositories)
        except (IndexUnavailable, StoreError) as error:
            _log.debug("the index could not be asked to read repositories", problem=str(error))
        else:
            self._wake()

    async def deleted(self, repository: Repository, *, tag: Tag | None = None, digest: Digest | None = None) -> None:
        """Takes in a delete by this gateway. If the store fails, a walk follows as soon as it works again."""
        try:
            await self.store.deleted(repository.name, tag=None if tag is None else tag.name, digest=digest)
        except (IndexUnavailable, StoreError) as error:
            _log.warning("a delete could not be written to the index: a walk will find it", problem=str(error))
            self.want_walk()
        else:
            self.changed.set()
            self._wake()

    def _wake(self) -> None:
        if self._reader is not None:
            self._reader.wake()

    async def _live(self) -> NoReturn:
        pause = _FIRST_PAUSE
        while True:
            try:
                async with self._open_store() as store:
                    pause = _FIRST_PAUSE
                    await self._keep(store)
            except* StoreError as failures:
                self._failed(failures)
            except* Exception:
                self._problem = "it failed"
                _log.exception("the index failed unexpectedly, and is opened again")
            self._tried.set()
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)

    async def _keep(self, store: SqlStore) -> None:
        """Uses the store until it fails."""
        plan = self._plan
        self._store, self._problem = store, ""
        self._opened.set()
        self._tried.set()
        _log.info("the index is open", kept_up_to_date_here=self._keeps)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.feed.run(store))
                tasks.create_task(self._request_walks(store))
                if self._keeps:
                    self._reader = Reader(
                        store,
                        self._source,
                        self.observer,
                        share=plan.share,
                        digest_interval=plan.digest_interval,
                        tracer=self._tracer,
                    )
                    self._walker = Walker(
                        store,
                        self._source,
                        self.observer,
                        interval=plan.walk_interval,
                        history=plan.history,
                        tracer=self._tracer,
                    )
                    tasks.create_task(self._reader.run(self.changed))
                    tasks.create_task(self._look(store))
                    tasks.create_task(self._walker.run())
                else:
                    tasks.create_task(_probe(store))
        finally:
            walker, self._walker, self._reader = self._walker, None, None
            self._store, self._problem = None, "it is closed"
            self._opened.clear()
            self.observer.looked_at(None, leads=False)
            if walker is not None:
                await _resign(walker)

    async def _request_walks(self, store: IndexStore) -> NoReturn:
        """Passes on what `want_walk` asks for. Raises `StoreError`: it is passed on when the store is open again."""
        while True:
            await self._needs_walk.wait()
            await store.request_walk()
            self._needs_walk.clear()

    async def _look(self, store: IndexStore) -> NoReturn:
        """Tells the observer how the index is, from time to time. Raises `StoreError`."""
        led, due = False, 0.0
        while True:
            # One process counts for all: that takes two seconds of the store's time for ten million tags.
            leads = self.leads
            began = time.monotonic()
            if began >= due or leads != led:
                self.observer.looked_at(await store.state(counted=leads), leads=leads)
                now = time.monotonic()
                led, due = leads, now + max(_LOOK, _COUNT_PAUSE * (now - began))
            await asyncio.sleep(_LOOK_FOR_LEAD)

    def _failed(self, failures: BaseExceptionGroup[StoreError]) -> None:
        error = _first(failures)
        if str(error) != self._problem:
            _log.error(
                "the index cannot be used: the gateway answers from the registry",
                problem=str(error),
                permanent=isinstance(error, StoreUnusable),
            )
        self._problem = str(error)


_PROBE: Final = 5.0


async def _probe(store: IndexStore) -> NoReturn:
    """Looks from time to time whether the store can still be used. Raises `StoreError`."""
    while True:
        await store.state()
        await asyncio.sleep(_PROBE)


async def _resign(walker: Walker) -> None:
    try:
        await walker.resign()
    except StoreError as error:
        _log.debug("the lead of the index could not be given back", problem=str(error))


def _first(failures: BaseExceptionGroup[StoreError]) -> StoreError:
    for failure in failures.exceptions:
        return failure if isinstance(failure, StoreError) else _first(failure)
    raise AssertionError("a group has an exception")
