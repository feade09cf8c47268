"""How many blobs are read at the same time, in all and for each caller."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from portus_gateway.rpc.call_errors import TooManyDownloads


@dataclass(slots=True, eq=False)
class _Waiting:
    owner: str
    turn: "asyncio.Future[None]"


class DownloadPlaces:
    """Lets `limit` downloads run, and half of that, at least one, for each owner: a caller or a connection.

    So a caller that reads slowly cannot keep the others from reading. One more waits for at most `patience` seconds.
    """

    patience: float = 10.0

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._share = max(1, limit // 2)
        self._running: dict[str, int] = {}
        self._waiting: deque[_Waiting] = deque()

    @asynccontextmanager
    async def taken(self, owner: str) -> AsyncGenerator[None, None]:
        """A block that has a place. Raises `TooManyDownloads`."""
        await self._take(owner)
        try:
            yield
        finally:
            self._leave(owner)

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
