"""For whom work is done, and queues that serve all of them in turn.

The owner of the work is a context variable, as the deadline is: no function needs a parameter for it.
"""

import asyncio
from collections import deque
from contextvars import ContextVar

_owner: ContextVar[str] = ContextVar("owner", default="")


def owner() -> str:
    """For whom the current work is done: a caller or its connection. Empty for the gateway itself."""
    return _owner.get()


def work_for(name: str) -> None:
    """Sets the owner of all work that begins in this context from now on."""
    _owner.set(name)


class FairQueue:
    """What waits for something: one of each owner in turn, and those of one owner in their order.

    So an owner with very many in the queue delays another one by no more than its next one.
    """

    def __init__(self) -> None:
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    def __bool__(self) -> bool:
        return bool(self._queues)

    def append(self, name: str, turn: "asyncio.Future[None]") -> None:
        self._queues.setdefault(name, deque()).append(turn)

    def remove(self, name: str, turn: "asyncio.Future[None]") -> None:
        """Takes `turn` out, if it is still in the queue."""
        waiting = self._queues.get(name)
        if waiting is not None and turn in waiting:
            waiting.remove(turn)
            if not waiting:
                del self._queues[name]

    def popleft(self) -> "asyncio.Future[None]":
        """The next one. Raises `StopIteration` if the queue is empty."""
        name = next(iter(self._queues))
        waiting = self._queues.pop(name)
        turn = waiting.popleft()
        if waiting:
            # Behind the others.
            self._queues[name] = waiting
        return turn
