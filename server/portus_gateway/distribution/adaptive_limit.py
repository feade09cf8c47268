"""Limits the requests that a server gets at the same time to what it can serve.

The limit is halved when the server says that it is overloaded, and grows by about one for each round of good answers,
as TCP does (RFC 5681). So what the server can serve need not be known beforehand.
"""

import asyncio
import time
from types import TracebackType

from portus_gateway.aio import spans
from portus_gateway.aio.fair_share import FairQueue, owner


class AdaptiveLimit:
    """Slots for requests to one server: `most` while it answers well, fewer while it is overloaded.

    Slots that are waited for are given to each owner (`aio.fair_share`) in turn, and to one owner in the order in which
    it asked for them. `async with` holds a slot for as long as its block runs. `wait` names the step of a trace that
    waits for one.
    """

    def __init__(self, most: int, wait: str = "wait for slot") -> None:
        self._most = most
        self._wait = wait
        self._limit = float(most)
        self._running = 0
        self._waiting = FairQueue()
        self._reduced_at = 0.0

    @property
    def limit(self) -> int:
        """How many requests may run at the same time now."""
        return int(self._limit)

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    async def acquire(self) -> None:
        """Takes a slot, which `release` gives back."""
        if self._running < self.limit and not self._waiting:
            self._running += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        mine = owner()
        self._waiting.append(mine, turn)
        try:
            with spans.step(self._wait):
                await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The slot was given just when its caller was cancelled.
                self.release()
            else:
                self._waiting.remove(mine, turn)
            raise

    def release(self) -> None:
        self._running -= 1
        self._admit()

    def overloaded(self, started: float) -> None:
        """The server refused, or did not answer in time, a request that was sent at `started` (`time.monotonic`)."""
        # A request from before the last reduction says nothing about the time since.
        if started >= self._reduced_at:
            self._limit = max(1.0, self._limit / 2)
            self._reduced_at = time.monotonic()

    def answered(self) -> None:
        """The server answered a request."""
        if self._limit < self._most:
            self._limit = min(self._most, self._limit + 1 / self._limit)
            self._admit()

    def _admit(self) -> None:
        while self._waiting and self._running < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._running += 1
                turn.set_result(None)
