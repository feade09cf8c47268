"""One run of work for all who ask for the same."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from portus_gateway.aio.deadline import SharedDeadline
from portus_gateway.errors import GatewayError

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")

PATIENCE: Final = 5.0
"""For how many seconds a run of work keeps another one of the same key from beginning, unless told otherwise."""


class WorkEnded(GatewayError):
    """The work that this call waited for was ended, because the process stops."""

    reason = "SHUTTING_DOWN"

    def __init__(self) -> None:
        super().__init__("the gateway is stopping, and ended what this call waited for: try again")


class SingleFlight(Generic[Key, Result]):
    """Runs work once for all who ask for the same key.

    Whoever asks gets the outcome of a run that begins after that: those who come while one runs share the next, which
    begins when the running one ends. So no outcome is from before the question. With `joins_running` they share the
    running one: for work whose outcome stays good, such as a token.

    A run that hangs keeps nobody from the next one for longer than `patience` seconds. Both then run; whichever has a
    result first, all who came before it began get it.

    Work belongs to nobody who waits: it runs in a task and a context of its own, and one caller's cancellation never
    fails another's. It knows the latest deadline of those who wait (`deadline.remaining`), must bound its own time, and
    is cancelled when nobody waits any more.
    """

    def __init__(self, *, joins_running: bool = False, patience: float = PATIENCE) -> None:
        self._joins_running = joins_running
        self._patience = patience
        self._lines: dict[Key, _Line[Result]] = {}
        self._tasks: set[asyncio.Task[Result]] = set()

    async def run(self, key: Key, work: Callable[[], Awaitable[Result]]) -> Result:
        """The outcome of `work`, or of another caller's work for `key`. Raises `WorkEnded` where `close` ended it."""
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line()
        flight = self._boarded(key, line, work)
        waiter: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        flight.waiters.add(waiter)
        flight.deadline.extend()
        try:
            return await waiter
        finally:
            flight.waiters.discard(waiter)
            if not flight.waiters:
                self._abandon(key, line, flight)

    async def close(self) -> None:
        """Ends what still runs, and what waits for it."""
        for line in self._lines.values():
            if line.following is not None:
                line.following.fail(WorkEnded())
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def busy(self) -> int:
        """For how many keys something runs."""
        return len(self._lines)

    def _boarded(self, key: Key, line: "_Line[Result]", work: Callable[[], Awaitable[Result]]) -> "_Flight[Result]":
        """The flight for somebody who comes now."""
        loop = asyncio.get_running_loop()
        running = line.running[-1] if line.running else None
        if running is not None and running.begun is None:
            return running
        if running is not None and not self._joins_running:
            if line.following is None:
                line.following = _Flight(work)
                line.following.timer = loop.call_later(self._patience, self._begin_following, key, line)
            return line.following
        if running is not None and running.begun is not None and loop.time() - running.begun <= self._patience:
            return running
        flight = _Flight(work)
        self._begin(key, line, flight)
        return flight

    def _begin(self, key: Key, line: "_Line[Result]", flight: "_Flight[Result]") -> None:
        line.running.append(flight)
        task = asyncio.create_task(flight.run(), context=flight.deadline.context())
        flight.task = task
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._landed(key, line, flight, task))

    def _begin_following(self, key: Key, line: "_Line[Result]") -> None:
        flight, line.following = line.following, None
        if flight is not None:
            flight.end_timer()
            self._begin(key, line, flight)

    def _landed(self, key: Key, line: "_Line[Result]", flight: "_Flight[Result]", task: "asyncio.Task[Result]") -> None:
        self._tasks.discard(task)
        if task.cancelled():
            flight.fail(WorkEnded())
        elif (error := task.exception()) is not None:
            flight.fail(error)
        elif flight in line.running:
            # Those before it were overtaken: this result is from after their callers' questions, too.
            for earlier in line.running[: line.running.index(flight) + 1]:
                earlier.succeed(task.result())
        self._leave(key, line, flight)

    def _abandon(self, key: Key, line: "_Line[Result]", flight: "_Flight[Result]") -> None:
        """Ends a flight that nobody waits for. Whoever comes now begins anew, instead of sharing an end."""
        if flight is line.following:
            flight.end_timer()
            line.following = None
        elif flight.task is not None:
            flight.task.cancel()
        self._leave(key, line, flight)

    def _leave(self, key: Key, line: "_Line[Result]", flight: "_Flight[Result]") -> None:
        """Lets the next one begin where this was the latest."""
        latest = bool(line.running) and line.running[-1] is flight
        if flight in line.running:
            line.running.remove(flight)
        if latest or not line.running:
            self._begin_following(key, line)
        if not line.running and line.following is None and self._lines.get(key) is line:
            del self._lines[key]


@dataclass(slots=True, eq=False)
class _Flight(Generic[Result]):
    """One run of work, and those who wait for its outcome."""

    work: Callable[[], Awaitable[Result]]
    deadline: SharedDeadline = field(default_factory=SharedDeadline)
    waiters: "set[asyncio.Future[Result]]" = field(default_factory=set)
    task: "asyncio.Task[Result] | None" = None
    begun: float | None = None
    timer: asyncio.TimerHandle | None = None

    async def run(self) -> Result:
        self.begun = asyncio.get_running_loop().time()
        return await self.work()

    def succeed(self, result: Result) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(result)

    def fail(self, error: BaseException) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_exception(error)
                # Its caller may be cancelled before it sees it. That is no reason for a line in the log.
                waiter.exception()

    def end_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()


@dataclass(slots=True, eq=False)
class _Line(Generic[Result]):
    """The flights of one key: those that run, in the order in which they began, and the one that begins next."""

    running: "list[_Flight[Result]]" = field(default_factory=list)
    following: "_Flight[Result] | None" = None
