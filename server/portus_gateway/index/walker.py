"""Leads: walks the catalog, so that the index knows every repository, and forgets old changes."""

import asyncio
import secrets
import time
from contextlib import aclosing
from typing import Final, NoReturn

import structlog

from portus_gateway.aio import spans
from portus_gateway.distribution.errors import AnswerTooLarge
from portus_gateway.distribution.names import Repository
from portus_gateway.distribution.paging import walk
from portus_gateway.errors import GatewayError
from portus_gateway.index.observer import IndexObserver
from portus_gateway.index.source import Source
from portus_gateway.index.store import IndexState, IndexStore

_log = structlog.get_logger(__name__)

# All in seconds. Another process leads so long after the leader's end.
_LEASE: Final = 15.0
_RENEWAL: Final = 5.0
# How often the leader looks whether something is to be done.
_LOOK: Final = 0.5
# How often it looks for changes that are too old to be kept.
_FORGET: Final = 60.0
_FIRST_RETRY: Final = 2.0
_LONGEST_RETRY: Final = 300.0
# After so many names, a walk looks again whether the store has room.
_NAMES_BETWEEN_LOOKS: Final = 100_000
# A walk is at most a tenth of the time: it is followed by a pause of nine times its length.
_PAUSE: Final = 9


class Walker:
    """Walks the catalog of `source` at the start and every `interval` seconds, while this process leads.

    Changes are kept for `history` seconds.
    """

    def __init__(
        self,
        store: IndexStore,
        source: Source,
        observer: IndexObserver,
        *,
        interval: float,
        history: float,
        tracer: spans.Tracer | None = None,
    ) -> None:
        self._store = store
        self._source = source
        self._observer = observer
        self._interval = interval
        self._history = history
        self._tracer = tracer
        self._holder = secrets.token_hex(8)
        self._fence: int | None = None
        self._problem = ""

    @property
    def leads(self) -> bool:
        return self._fence is not None

    async def run(self) -> NoReturn:
        """Leads whenever nobody else does, until it is cancelled. Raises `StoreError`."""
        try:
            while True:
                lease = await self._store.lead(self._holder, _LEASE)
                if lease is None:
                    await asyncio.sleep(_RENEWAL)
                    continue
                if lease.fence != self._fence:
                    _log.info("this process leads the index")
                    self._fence = lease.fence
                    # Nobody knows what was missed before.
                    await self._store.request_walk()
                await self._lead_on()
                self._fence = None
        finally:
            self._fence = None

    async def resign(self) -> None:
        """Leaves the lead to others. Raises `StoreError`."""
        await self._store.resign(self._holder)

    async def _lead_on(self) -> None:
        """Does the leader's work until another process leads."""
        work = asyncio.create_task(self._work())
        try:
            while not work.done():
                await asyncio.wait([work], timeout=_RENEWAL)
                if not work.done() and await self._store.lead(self._holder, _LEASE) is None:
                    _log.warning("another process leads the index now")
                    return
            work.result()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _work(self) -> NoReturn:
        retry, not_before, forget_at = _FIRST_RETRY, 0.0, 0.0
        # By the clock of this process, which is never set back.
        clock = time.monotonic
        while True:
            state = await self._store.state()
            if clock() >= not_before and self._is_due(state):
                try:
                    with spans.root_step(self._tracer, "index walk"):
                        await self._walk(state.now)
                    retry = _FIRST_RETRY
                except GatewayError as error:
                    await self._store.forget_unfinished_walk()
                    not_before = clock() + retry
                    retry = min(_LONGEST_RETRY, 2 * retry)
                    self._failed(error)
            if not state.ready:
                await self._store.check_ready()
            if clock() >= forget_at:
                forgotten = await self._store.forget(state.now - self._history)
                # There may be more of them than one transaction takes.
                forget_at = clock() + (0.0 if forgotten else _FORGET)
            await asyncio.sleep(_LOOK)

    def _is_due(self, state: IndexState) -> bool:
        if state.walk_started is None or state.walk_ended is None:
            return True
        if max(state.walk_started, state.walk_ended) > state.now:
            # The clock was set back: nobody knows how old the index is.
            return True
        pause = _PAUSE * (state.walk_ended - state.walk_started)
        if state.now < state.walk_ended + pause:
            return False
        return state.walk_requested or state.now >= state.walk_started + self._interval

    async def _walk(self, started: float) -> None:
        """One walk over the whole catalog. Raises `DistributionError`: then nothing is known to be missing."""
        count = next_look = 0
        async with aclosing(walk(lambda cursor: self._source.list_repositories(None, cursor))) as pages:
            async for page in pages:
                if count >= next_look:
                    await self._check_room()
                    next_look = count + _NAMES_BETWEEN_LOOKS
                names = [name.name for name in page.items if isinstance(name, Repository)]
                unusable = [str(name) for name in page.items if not isinstance(name, Repository)]
                await self._store.walk_page(started, names, unusable)
                count += len(page.items)
        ended = await self._store.end_walk(started)
        seconds = (await self._store.state()).now - started
        self._observer.walked(seconds, held=ended.held)
        self._problem = ""
        if ended.held:
            _log.warning(
                "the catalog lacks many repositories that the index has: they are looked at after the next walk, if it"
                " lacks them too",
                missing=ended.missing,
                listed=count,
            )
        else:
            _log.info("walked the catalog", repositories=count, missing=ended.missing, seconds=round(seconds, 3))

    async def _check_room(self) -> None:
        """Raises `AnswerTooLarge` if the index has too many repositories to take in more."""
        if not await self._store.has_room():
            raise AnswerTooLarge(
                "the index has as many repositories as it takes in. The registry's catalog names new ones again and"
                " again: look at the catalog, and then run `portus-gateway index rebuild`"
            )

    def _failed(self, error: GatewayError) -> None:
        self._observer.walk_failed()
        # The message too, because what to do is different for some errors with the same reason.
        problem = f"{error.reason}: {error}"
        if problem != self._problem:
            self._problem = problem
            _log.warning("the catalog could not be walked, and is tried again", reason=error.reason, problem=str(error))
