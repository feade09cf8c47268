"""How many requests a server gets at a time: as many as it bears.

Additive increase, multiplicative decrease, as TCP has it (RFC 5681): nobody has to know beforehand how much that is.
"""

import asyncio
import time
from collections import deque

# A request is slow that takes this many times as long as its kind usually does, and no less than this many seconds:
# on a quick server a multiple means nothing.
_CLIMB = 10.0
_SLOW = 0.25
# How much of a longer time goes into what is usual; a shorter one is taken as it is.
_SHARE = 0.02


class AdaptiveLimit:
    """Slots for requests to one server: `most` while it answers well, fewer while it says that it is overloaded.

    Whoever waits for a slot gets it in order.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._reduced_at = 0.0
        self._usual: dict[str, float] = {}

    @property
    def limit(self) -> int:
        """How many requests run at a time at most, as things are now."""
        return int(self._limit)

    async def acquire(self) -> None:
        """Takes a slot, which `release` gives back."""
        if self._running < self.limit and not self._waiting:
            self._running += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The slot came in the very moment in which nobody wanted it any more.
                self.release()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def release(self) -> None:
        self._running -= 1
        self._admit()

    def overloaded(self, started: float) -> None:
        """The server refused a request, which was sent at `started` (`time.monotonic`), for having too many."""
        self._reduce(started, self._limit / 2)

    def answered(self, kind: str, started: float) -> None:
        """The server answered a request of this kind well."""
        seconds = time.monotonic() - started
        usual = self._usual.get(kind, seconds)
        self._usual[kind] = min(seconds, usual + (seconds - usual) * _SHARE)
        if seconds > max(_SLOW, _CLIMB * usual):
            self._reduce(started, self._limit - 1)
        elif self._limit < self._most:
            self._limit = min(self._most, self._limit + 1 / self._limit)
            self._admit()

    def _reduce(self, started: float, limit: float) -> None:
        # What was sent before the last reduction says nothing of how things are since.
        if started >= self._reduced_at:
            self._limit = max(1.0, limit)
            self._reduced_at = time.monotonic()

    def _admit(self) -> None:
        while self._waiting and self._running < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._running += 1
                turn.set_result(None)
