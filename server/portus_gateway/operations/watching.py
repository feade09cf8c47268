"""Watches: the changes that the index sees, in order, for each caller those that it may see."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from portus_gateway.aio import deadline
from portus_gateway.aio.single_flight import WorkEnded
from portus_gateway.distribution.adaptive_limit import AdaptiveLimit
from portus_gateway.index.errors import (
    CursorExpired,
    CursorUnknown,
    IndexDisabled,
    IndexNotReady,
    IndexUnavailable,
    StoreError,
)
from portus_gateway.index.store import Change, ChangeRows, ChangeType, IndexState, TagEntry
from portus_gateway.index.watch_cursor import SealedCursor, WatchCursor
from portus_gateway.operations.index_answers import Visibility

if TYPE_CHECKING:
    # Loaded only if there is an index.
    from portus_gateway.index.live_index import LiveIndex

# How many changes, or tags of the current state, are read at a time, and how many changes a full message has.
_AT_ONCE: Final = 500
# How many reads of the current state there are at a time. Callers take turns: one with many watches delays nobody.
_LOOKS_AT_ONCE: Final = 2
# A watch ends by itself so many seconds before its time limit.
_BEFORE_LIMIT: Final = 1.0
Filter: TypeAlias = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class WantedEvents:
    """What a watch is to send. Without `cursor` and `current_state` it begins now. `heartbeat` is in seconds."""

    prefix: str
    repositories: frozenset[str]
    cursor: SealedCursor | None
    current_state: bool
    heartbeat: float


@dataclass(frozen=True, slots=True)
class WatchMessage:
    """Changes, and where a watch continues after them.

    `as_of` is None while the current state is listed, and in a heartbeat while older changes are still being read.
    """

    changes: Sequence[Change]
    cursor: str
    as_of: float | None
    current_state_complete: bool = False


class Watching:
    """Watches of `index`, for the callers that `visibility` knows."""

    def __init__(self, index: "LiveIndex | None", visibility: Visibility) -> None:
        self._index = index
        self._visibility = visibility
        self._draining = asyncio.Event()
        self._looks = AdaptiveLimit(_LOOKS_AT_ONCE, wait="wait for index")

    def drain(self) -> None:
        """Ends all watches. Each has sent a cursor to go on from."""
        self._draining.set()
        if self._index is not None:
            self._index.feed.wake()

    async def watch(self, wanted: WantedEvents) -> AsyncGenerator[WatchMessage, None]:
        """The messages of one watch. It ends by itself shortly before the call's time limit.

        Raises `IndexDisabled`, `IndexNotReady`, `IndexUnavailable`, `CursorExpired`, `CursorUnknown`; `WorkEnded` when
        the gateway stops.
        """
        if self._index is None:
            raise IndexDisabled
        state = await self._index.state()
        if not state.ready:
            raise IndexNotReady
        cursor = _beginning(wanted, state)
        watch = _Watch(self._index, self._visibility, wanted, cursor, self._looks)
        observer = self._index.observer
        observer.watching(1)
        try:
            async with aclosing(self._messages(watch, cursor, state)) as messages:
                async for message in messages:
                    if message.changes and message.as_of is not None:
                        observer.watched(message.as_of - message.changes[-1].observed_at)
                    yield message
        finally:
            observer.watching(-1)

    async def _messages(
        self, watch: "_Watch", cursor: WatchCursor, state: IndexState
    ) -> AsyncGenerator[WatchMessage, None]:
        if cursor.listed is not None:
            async for message in watch.current_state(cursor.listed):
                yield message
                self._check_draining()
        elif cursor.sequence == state.head:
            # So that the caller has a cursor from the beginning.
            yield watch.message((), cursor.sequence, state.now)
        while not _is_late():
            following = await watch.following(self._draining)
            if following is not None:
                yield following
            self._check_draining()

    def _check_draining(self) -> None:
        if self._draining.is_set():
            raise WorkEnded


class _Watch:
    """One watch, and how far it is.

    Where a message ends depends only on the changes that its caller may see. If a message ended with what was read at a
    time, a caller could count what is hidden: it would be the rest of each message.
    """

    def __init__(
        self,
        index: "LiveIndex",
        visibility: Visibility,
        wanted: WantedEvents,
        cursor: WatchCursor,
        looks: AdaptiveLimit,
    ) -> None:
        self._looks = looks
        self._index = index
        self._visibility = visibility
        self._wanted = wanted
        self._epoch = cursor.epoch
        self._sequence = cursor.sequence
        self._unsent: list[Change] = []
        """Changes that the caller may see, up to `sequence`."""
        self._sent_at = time.monotonic()
        self._has_sent = False

    def message(self, changes: Sequence[Change], sequence: int, as_of: float | None) -> WatchMessage:
        """A message with what the caller may still see of `changes`, the last ones up to `sequence`."""
        return self._sent(changes, WatchCursor(self._epoch, sequence), as_of)

    def _sent(
        self, changes: Sequence[Change], cursor: WatchCursor, as_of: float | None, *, complete: bool = False
    ) -> WatchMessage:
        self._sent_at = time.monotonic()
        self._has_sent = True
        return WatchMessage(tuple(self._chosen(changes)), cursor.encode(), as_of, complete)

    async def current_state(self, after: tuple[str, str]) -> AsyncGenerator[WatchMessage, None]:
        """What there is, as changes. What changes meanwhile comes again as a change."""
        unsent: list[Change] = []
        more = True
        while more:
            entries = await self._entries(after)
            more = len(entries) == _AT_ONCE
            unsent += self._chosen(_present(entries, after[0], self._sequence))
            after = (entries[-1].repository, entries[-1].tag) if entries else after
            while len(unsent) >= _AT_ONCE:
                part, unsent = unsent[:_AT_ONCE], unsent[_AT_ONCE:]
                last = part[-1]
                yield self._sent(part, WatchCursor(self._epoch, self._sequence, (last.repository, last.tag)), None)
            # A caller that may see little of a large registry gets heartbeats meanwhile.
            if more and time.monotonic() - self._sent_at >= self._wanted.heartbeat:
                part, unsent = unsent, []
                yield self._sent(part, WatchCursor(self._epoch, self._sequence, after), None)
        yield self._sent(unsent, WatchCursor(self._epoch, self._sequence), None, complete=True)

    async def following(self, draining: asyncio.Event) -> WatchMessage | None:
        """The next changes, or a heartbeat. None: nothing to send yet."""
        rows = await self._rows()
        if rows.state.epoch != self._epoch:
            raise CursorUnknown
        if rows.state.oldest > self._sequence:
            raise CursorExpired
        if rows.changes:
            self._sequence = rows.changes[-1].sequence
            self._unsent += self._chosen(rows.changes)
        if len(self._unsent) >= _AT_ONCE:
            part, self._unsent = self._unsent[:_AT_ONCE], self._unsent[_AT_ONCE:]
            return self.message(part, part[-1].sequence, part[-1].observed_at)
        is_complete = len(rows.changes) < _AT_ONCE
        wait = self._sent_at + self._wanted.heartbeat - time.monotonic()
        if wait <= 0 or (is_complete and (self._unsent or not self._has_sent)):
            part, self._unsent = self._unsent, []
            as_of = rows.state.now if is_complete else part[-1].observed_at if part else None
            return self.message(part, self._sequence, as_of)
        if is_complete:
            limit = deadline.remaining()
            seconds = min(wait, wait if limit is None else max(0.0, limit - _BEFORE_LIMIT))
            if not draining.is_set():
                await self._index.feed.wait(self._sequence, seconds)
        return None

    async def _rows(self) -> ChangeRows:
        try:
            return await self._index.feed.changes(self._index.store, self._sequence, _AT_ONCE)
        except StoreError as error:
            raise IndexUnavailable(str(error)) from error

    async def _entries(self, after: tuple[str, str]) -> list[TagEntry]:
        try:
            async with self._looks:
                return await self._index.store.repository_tags(after, self._wanted.prefix, _AT_ONCE)
        except StoreError as error:
            raise IndexUnavailable(str(error)) from error

    def _chosen(self, changes: Iterable[Change]) -> Iterator[Change]:
        """Those that the caller wants and, by the policy of now, may see."""
        wanted = self._wanted
        filters = [each for each in (self._visibility.visible(), self._visibility.tags_visible()) if each is not None]
        for change in changes:
            name = change.repository
            if wanted.repositories and name not in wanted.repositories:
                continue
            if name.startswith(wanted.prefix) and all(may_see(name) for may_see in filters):
                yield change


def _beginning(wanted: WantedEvents, state: IndexState) -> WatchCursor:
    if wanted.cursor is None:
        return WatchCursor(state.epoch, state.head, ("", "") if wanted.current_state else None)
    cursor = wanted.cursor.opened(state.epoch)
    if cursor is None or cursor.sequence > state.head:
        raise CursorUnknown
    if cursor.sequence < state.oldest:
        raise CursorExpired
    return cursor


def _present(entries: Sequence[TagEntry], repository: str, sequence: int) -> Iterator[Change]:
    """Entries as changes; those of `repository` are already begun."""
    for entry in entries:
        seen = entry.read_at or 0.0
        if entry.repository != repository:
            repository = entry.repository
            yield Change(sequence, ChangeType.REPOSITORY_CREATED, repository, "", None, None, seen)
        if entry.tag and entry.digest is not None:
            observed = entry.checked_at or seen
            yield Change(sequence, ChangeType.TAG_CREATED, repository, entry.tag, entry.digest, None, observed)


def _is_late() -> bool:
    """Whether the call's time limit is near."""
    return not deadline.allows(_BEFORE_LIMIT)
