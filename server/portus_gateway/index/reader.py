"""Reads dirty repositories from the registry, and writes what it found to the store."""

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import Final, NoReturn

import structlog

from portus_gateway.aio import spans
from portus_gateway.aio.in_parallel import for_each
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import (
    ContentUnclear,
    InvalidRequest,
    NotFound,
    RegistryFault,
    Unsupported,
    UntrustedAnswer,
)
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.distribution.page import Cursor, Page
from portus_gateway.distribution.paging import walk
from portus_gateway.errors import GatewayError
from portus_gateway.index.observer import IndexObserver
from portus_gateway.index.source import Source
from portus_gateway.index.store import Applied, Claim, IndexStore, Reading, storable

_log = structlog.get_logger(__name__)

# All in seconds. A claim is kept while its reader lives; another process takes over so long after its end.
_CLAIM: Final = 30.0
_EXTENSION: Final = 10.0
# How often to look for dirty repositories that other processes have marked.
_INTERVAL: Final = 0.25
# The first look after a notification: what it named is due soon. The pauses are doubled up to the interval.
_FIRST_LOOK: Final = 0.02
# After the first failure of a repository, and the longest; doubled in between.
_FIRST_RETRY: Final = 1.0
_LONGEST_RETRY: Final = 300.0
# How long one read goes on asking for digests. What is left is asked for in the next.
_LONGEST_READ: Final = 20.0
# The same as a number of tags.
_MOST_DIGESTS: Final = 1000
# One tag that the registry cannot show does not keep the others out of the index.
_OF_ONE_TAG: Final = (RegistryFault, UntrustedAnswer, ContentUnclear, InvalidRequest, Unsupported)


class Reader:
    """Reads dirty repositories of `store` from `source`, with up to `share` requests at the same time.

    Digests that were last checked more than `digest_interval` seconds ago are checked again whenever their repository
    is read.
    """

    def __init__(
        self,
        store: IndexStore,
        source: Source,
        observer: IndexObserver,
        *,
        share: int,
        digest_interval: float,
        tracer: spans.Tracer | None = None,
    ) -> None:
        self._store = store
        self._source = source
        self._observer = observer
        self._share = share
        self._digest_interval = digest_interval
        self._tracer = tracer
        self._slots = asyncio.Semaphore(share)
        self._woken = asyncio.Event()
        self._pause = _INTERVAL
        self._waiting: asyncio.Timeout | None = None

    def wake(self) -> None:
        """Looks for dirty repositories now."""
        self._woken.set()

    def notified(self) -> None:
        """Looks soon, and some more times soon after: what was announced may not be there yet.

        Under many notifications, it looks for all of them together.
        """
        self._pause = _FIRST_LOOK
        soon = asyncio.get_running_loop().time() + _FIRST_LOOK
        waiting = self._waiting
        if waiting is not None and (waiting.when() or 0.0) > soon:
            waiting.reschedule(soon)
            self._pause = 2 * _FIRST_LOOK

    async def run(self, changed: asyncio.Event) -> NoReturn:
        """Reads until it is cancelled; sets `changed` when changes were written. Raises `StoreError`."""
        async with asyncio.TaskGroup() as tasks:
            running: set[asyncio.Task[None]] = set()

            def ended(task: asyncio.Task[None]) -> None:
                running.discard(task)
                self.wake()

            while True:
                self._woken.clear()
                free = self._share - len(running)
                for claim in await self._store.claim(free, _CLAIM) if free else ():
                    task = tasks.create_task(self._handle(claim, changed))
                    running.add(task)
                    task.add_done_callback(ended)
                await self._wait()

    async def _wait(self) -> None:
        """Waits until it is time to look."""
        pause, self._pause = self._pause, min(_INTERVAL, 2 * self._pause)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause) as self._waiting:
                try:
                    await self._woken.wait()
                finally:
                    self._waiting = None

    async def _handle(self, claim: Claim, changed: asyncio.Event) -> None:
        """Reads one repository and writes what was found. Nothing is written after a failure."""
        started = time.monotonic()
        reading = asyncio.create_task(self.read(claim))
        try:
            while not reading.done():
                await asyncio.wait([reading], timeout=_EXTENSION)
                if not reading.done() and not await self._store.extend(claim, _CLAIM):
                    break
        except asyncio.CancelledError:
            # The next reader need not wait until the claim expires.
            await self._store.extend(claim, 0)
            raise
        finally:
            if not reading.done():
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
        seconds = time.monotonic() - started
        if reading.cancelled():
            self._observer.repository_read("taken_over", seconds)
            return
        error = reading.exception()
        if isinstance(error, GatewayError):
            self._observer.repository_read("failed", seconds)
            _log.debug("a repository could not be read", repository=claim.repository, reason=error.reason)
            await self._store.failed(claim, f"{error.reason}: {error}", _retry_in(claim.attempts))
            return
        if error is not None:
            raise error
        applied = await self._store.apply(claim, reading.result())
        self._observe(claim, applied, seconds)
        if applied is not None and applied.changes:
            changed.set()

    async def read(self, claim: Claim) -> Reading:
        """What the registry has of the repository. Raises `DistributionError`: then nothing is known."""
        attributes = {"portus.repository": claim.repository}
        with spans.root_step(self._tracer, "index read", attributes=attributes):
            return await self._read(claim)

    async def _read(self, claim: Claim) -> Reading:
        repository = Repository(claim.repository)
        try:
            listed = await self._tags(repository)
        except NotFound as error:
            if error.reason != "NAME_UNKNOWN":
                raise
            # Registries do not know the tags of a repository that never had one: the catalog tells it from none.
            async with self._slots:
                exists = await self._source.is_listed(repository)
            return Reading(frozenset(), {}, exists=exists)
        digests: dict[str, Digest | None] = {
            storable(name.text): None for name in listed if isinstance(name, UnusableName)
        }
        wanted = self._wanted(claim, [name for name in listed if isinstance(name, Tag)])
        asked = wanted[:_MOST_DIGESTS]
        left = len(wanted) - len(asked)
        ends = time.monotonic() + _LONGEST_READ

        async def ask(tag: Tag) -> None:
            nonlocal left
            if time.monotonic() > ends:
                left += 1
                return
            known = claim.tags.get(tag.name)
            async with self._slots:
                try:
                    digests[tag.name] = await self._source.tag_digest(
                        repository, tag, None if known is None else known.digest
                    )
                except NotFound:
                    # It was deleted since, or the registry lists a tag that it cannot resolve (distribution #936).
                    digests[tag.name] = None
                except _OF_ONE_TAG as error:
                    _log.debug("a tag could not be read", repository=claim.repository, tag=tag.name, problem=str(error))

        await for_each(asked, ask, at_once=self._share)
        names = frozenset(name.name if isinstance(name, Tag) else storable(name.text) for name in listed)
        return Reading(names, digests, unread=left)

    async def _tags(self, repository: Repository) -> list[Tag | UnusableName]:
        async def page(cursor: Cursor | None) -> Page[Tag | UnusableName]:
            async with self._slots:
                return await self._source.list_tags(repository, None, cursor)

        tags: list[Tag | UnusableName] = []
        async with aclosing(walk(page)) as pages:
            async for each in pages:
                tags += each.items
        return tags

    def _wanted(self, claim: Claim, tags: Sequence[Tag]) -> list[Tag]:
        """The tags whose digests are to be asked for: announced ones first, then new ones, then the oldest."""
        announced = {hint.tag for hint in claim.hints}
        due = claim.began_at - self._digest_interval

        def urgency(tag: Tag) -> tuple[int, float]:
            known = claim.tags.get(tag.name)
            checked_at = None if known is None else known.checked_at
            if tag.name in announced:
                return 0, 0.0
            if checked_at is None:
                return 1, 0.0
            # One after this claim was checked before the clock was set back.
            return (2, checked_at) if checked_at <= due or checked_at > claim.began_at else (3, 0.0)

        return [tag for kind, _, tag in sorted((*urgency(tag), tag) for tag in tags) if kind < 3]

    def _observe(self, claim: Claim, applied: Applied | None, seconds: float) -> None:
        if applied is None:
            self._observer.repository_read("taken_over", seconds)
            return
        self._observer.repository_read("applied", seconds)
        if applied.changes:
            self._observer.changes_found("walk" if claim.by_walk else "notification", applied.changes)
        if applied.unconfirmed:
            self._observer.hints_unconfirmed(applied.unconfirmed)
        for delay in applied.delays:
            self._observer.notification_delay(delay)


def _retry_in(attempts: int) -> float:
    # Spread, so that repositories that failed together are not read together.
    return min(_LONGEST_RETRY, _FIRST_RETRY * 2.0 ** min(attempts, 16)) * random.uniform(0.75, 1.25)  # noqa: S311
