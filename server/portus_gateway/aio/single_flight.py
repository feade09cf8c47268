"""One piece of work for all who ask for the same at the same time."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from portus_gateway.aio.deadline import SharedDeadline
from portus_gateway.errors import GatewayError

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class WorkEnded(GatewayError):
    """The work that this call waited for was ended, because the process stops."""

    reason = "SHUTTING_DOWN"

    def __init__(self) -> None:
        super().__init__("the gateway is stopping, and ended what this call waited for: try again")


@dataclass(slots=True)
class _Flight(Generic[Result]):
    task: "asyncio.Task[Result]"
    deadline: SharedDeadline
    begun: float
    waiting: int = 0


class SingleFlight(Generic[Key, Result]):
    """Runs the work for a key once; whoever asks while it runs gets the same outcome.

    The work belongs to nobody who waits: it runs in a task and a context of its own, and one caller's cancellation
    never fails another's. It knows the latest deadline of those who wait (`deadline.remaining`), and must bound its
    own time.

    `ends_when_abandoned`: it is cancelled when the last one who waited was. `joined_within`: for how many seconds after
    its beginning it may be joined; whoever comes later begins anew.
    """

    def __init__(self, *, ends_when_abandoned: bool = False, joined_within: float = math.inf) -> None:
        self._ends_when_abandoned = ends_when_abandoned
        self._joined_within = joined_within
        self._flights: dict[Key, _Flight[Result]] = {}
        self._running: set[asyncio.Task[Result]] = set()

    async def run(self, key: Key, work: Callable[[], Awaitable[Result]]) -> Result:
        flight = self._flights.get(key)
        if flight is None or time.monotonic() - flight.begun > self._joined_within:
            flight = self._begin(key, work)
        task = flight.task
        flight.waiting += 1
        flight.deadline.extend()
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if task.cancelled() and (current is None or not current.cancelling()):
                # Not this caller was cancelled but the work, by `close`. A bare CancelledError would leave
                # the caller's RPC without any answer (grpc#29248).
                raise WorkEnded from None
            raise
        finally:
            flight.waiting -= 1
            if self._ends_when_abandoned and not flight.waiting and not task.done():
                # Whoever comes now begins anew, instead of sharing an end.
                if self._flights.get(key) is flight:
                    del self._flights[key]
                task.cancel()

    async def close(self) -> None:
        """Ends what still runs."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, key: Key, work: Callable[[], Awaitable[Result]]) -> _Flight[Result]:
        deadline = SharedDeadline()
        task = asyncio.create_task(_awaited(work), context=deadline.context())
        flight = _Flight(task, deadline, time.monotonic())
        self._flights[key] = flight
        self._running.add(task)
        task.add_done_callback(lambda _: self._finished(key, flight))
        return flight

    def _finished(self, key: Key, flight: _Flight[Result]) -> None:
        self._running.discard(flight.task)
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.task.cancelled():
            # Retrieved here as well: all who waited may have been cancelled meanwhile.
            flight.task.exception()


async def _awaited(work: Callable[[], Awaitable[Result]]) -> Result:
    return await work()
