"""Bounds the memory of answers that their callers have not read yet."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from portus_gateway.rpc.call_errors import TooManyUnreadAnswers

# An answer is there twice: as the bytes that Python has, and as gRPC's own copy of them.
_COPIES: Final = 2
_OWNER_SHARE: Final = 4
_MEBIBYTE: Final = 1024 * 1024


@dataclass(slots=True, eq=False)
class _Waiting:
    owner: str
    size: int
    turn: "asyncio.Future[None]"


class UnreadAnswers:
    """Lets answers take `limit` bytes in all, and a quarter of that for each owner: a caller or a connection.

    One answer of an owner that has no other, and one where there is no other at all, may be larger. What does not fit
    waits for its turn. As much as `limit` may wait, the last quarter of it for owners of
    whose answers less than a quarter waits; more is refused.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._share = limit // _OWNER_SHARE
        self._held = 0
        self._held_by: dict[str, int] = {}
        self._waiting: deque[_Waiting] = deque()
        self._waiting_size = 0

    def take(self, owner: str, answer: int) -> bool:
        """Takes the memory for an answer of that many bytes, which `give_back` gives back. False if it does not fit."""
        size = answer * _COPIES
        if not self._fits(owner, size):
            return False
        self._take(owner, size)
        return True

    async def wait(self, owner: str, answer: int) -> None:
        """Takes the memory for an answer as soon as it fits. Must be bounded in time. Raises `TooManyUnreadAnswers`."""
        size = answer * _COPIES
        if self._waiting and not self._may_wait(owner, size):
            raise self.error(owner)
        waiting = _Waiting(owner, size, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._waiting_size += size
        self._let_in()
        try:
            await waiting.turn
        except asyncio.CancelledError:
            if not waiting.turn.cancelled():
                self.give_back(owner, answer)
            raise
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
                self._waiting_size -= size

    def give_back(self, owner: str, answer: int) -> None:
        size = answer * _COPIES
        self._held -= size
        held = self._held_by[owner] - size
        if held:
            self._held_by[owner] = held
        else:
            del self._held_by[owner]
        if self._waiting:
            self._let_in()

    def error(self, owner: str) -> TooManyUnreadAnswers:
        """What to tell `owner`, for whom there was no room for too long."""
        held = self._held_by.get(owner, 0)
        if held:
            return TooManyUnreadAnswers(
                f"answers of {held / _MEBIBYTE:.1f} MiB to this caller have not been read: read them, then try again"
            )
        return TooManyUnreadAnswers("other callers do not read their answers, which take the memory for all: try later")

    def _fits(self, owner: str, size: int) -> bool:
        held = self._held_by.get(owner)
        return (held is None or held + size <= self._share) and (not self._held or self._held + size <= self._limit)

    def _may_wait(self, owner: str, size: int) -> bool:
        left = self._limit - self._waiting_size - size
        if left >= self._share:
            return True
        # The last quarter is for owners of whose answers less than a quarter waits.
        waits = sum(waiting.size for waiting in self._waiting if waiting.owner == owner)
        return left >= 0 and waits < self._share

    def _take(self, owner: str, size: int) -> None:
        self._held += size
        self._held_by[owner] = self._held_by.get(owner, 0) + size

    def _let_in(self) -> None:
        for waiting in tuple(self._waiting):
            if not waiting.turn.done() and self._fits(waiting.owner, waiting.size):
                self._waiting.remove(waiting)
                self._waiting_size -= waiting.size
                self._take(waiting.owner, waiting.size)
                waiting.turn.set_result(None)
