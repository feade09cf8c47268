"""How many blobs are read at the same time, in all and for each caller."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from portus_gateway.rpc.call_errors import TooManyDownloads


@dataclass(slots=True, eq=False)
class _Waiting:
    owner: str
    turn: "asyncio.Future[None]"


# How long a reader may leave a message unread before its download is paused, in seconds.
_LONGEST_UNREAD: Final = 30.0


@contextmanager
def when_not_read(*actions: Callable[[], None]) -> Iterator[None]:
    """A block that sends a message. If its caller does not read it, `actions` are carried out meanwhile."""
    loop = asyncio.get_running_loop()
    timers = [loop.call_later(_LONGEST_UNREAD, action) for action in actions]
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()


class DownloadPlace:
    """The place of one download, which it can leave and take again."""

    def __init__(self, take: Callable[[], Awaitable[None]], leave: Callable[[], None]) -> None:
        self._take = take
        self._leave = leave
        self._is_taken = False

    async def take(self) -> None:
        """Takes the place, unless it is taken. Raises `TooManyDownloads`."""
        if not self._is_taken:
            await self._take()
            self._is_taken = True

    def leave(self) -> None:
        """Leaves the place, if it is taken."""
        if self._is_taken:
            self._is_taken = False
            self._leave()


class DownloadPlaces:
    """Lets `limit` downloads run, and half of that, at least one, for each owner: a caller or a connection.

    So a caller that reads slowly cannot keep the others from reading. One more waits for at most `patience` seconds.
    A download whose reader does not read leaves its place (`when_not_read`), and takes one again to go on.
    """

    patience: float = 10.0

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._share = max(1, limit // 2)
        self._running: dict[str, int] = {}
        self._waiting: deque[_Waiting] = deque()

    @asynccontextmanager
    async def taken(self, owner: str) -> "AsyncGenerator[DownloadPlace, None]":
        """A block that has a place. Raises `TooManyDownloads`."""
        place = DownloadPlace(partial(self._take, owner), partial(self._leave, owner))
        await place.take()
        try:
            yield place
        finally:
            place.leave()

    async def _take(self, owner: str) -> None:
        if self._fits(owner):
            self._enter(owner)
            return
        waiting = _Waiting(owner, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(self.patience):
                await waiting.turn
        except BaseException as error:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            elif waiting.turn.done() and not waiting.turn.cancelled():
                # The place was given in the moment in which the wait ended.
                self._leave(owner)
            if isinstance(error, TimeoutError):
                raise self._error(owner) from None
            raise

    def _leave(self, owner: str) -> None:
        left = self._running[owner] - 1
        if left:
            self._running[owner] = left
        else:
            del self._running[owner]
        for waiting in tuple(self._waiting):
            if self._fits(waiting.owner):
                self._waiting.remove(waiting)
                if not waiting.turn.done():
                    self._enter(waiting.owner)
                    waiting.turn.set_result(None)

    def _enter(self, owner: str) -> None:
        self._running[owner] = self._running.get(owner, 0) + 1

    def _fits(self, owner: str) -> bool:
        return self._running.get(owner, 0) < self._share and sum(self._running.values()) < self._limit

    def _error(self, owner: str) -> TooManyDownloads:
        if self._running.get(owner, 0) >= self._share:
            return TooManyDownloads(f"this caller reads {self._share} blobs, as many as it may: try again later")
        return TooManyDownloads(f"the gateway reads its limit of {self._limit} blobs: try again later")
