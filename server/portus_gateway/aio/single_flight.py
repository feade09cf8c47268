"""One run of work for all callers that ask for the same."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from portus_gateway.aio import fair_share, spans
from portus_gateway.aio.deadline import SharedDeadline
from portus_gateway.errors import GatewayError

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")

PATIENCE: Final = 5.0
"""Default for how many seconds a run may delay the next run for the same key."""


class WorkEnded(GatewayError):
    """The work that this call waited for was ended, because the process stops."""

    reason = "SHUTTING_DOWN"

    def __init__(self) -> None:
        super().__init__("the gateway is stopping, and ended what this call waited for: try again")


class SingleFlight(Generic[Key, Result]):
    """Runs work once for all callers that ask for the same key.

    A caller gets the result of a run that begins after its call: callers that come during a run share the next run,
    which begins when the current one ends. So no result is older than the call. With `joins_running`, callers share
    the current run: for work whose result stays valid, such as a token.

    A run that hangs delays the next run by at most `patience` seconds. Then both continue; the result of the later run
    is also the result for all who wait for the earlier one.

    Work belongs to no caller: it runs in its own task and context, and the cancellation of one caller does not affect
    the others. It has the latest deadline of its callers (`deadline.remaining`), and it is cancelled when the last of
    them leaves. It must bound its own time.

    In a trace, a run is a step called `name` of its first caller. The others have a step "wait for `name`" with a link
    to it.
    """

    def __init__(self, name: str = "shared work", *, joins_running: bool = False, patience: float = PATIENCE) -> None:
        self._name = name
        self._joins_running = joins_running
        self._patience = patience
        self._states: dict[Key, _KeyState[Result]] = {}
        self._tasks: set[asyncio.Task[Result]] = set()

    async def run(self, key: Key, work: Callable[[], Awaitable[Result]]) -> Result:
        """The result of `work`, or of another caller's work for `key`. Raises `WorkEnded` after `close`."""
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = _KeyState()
        flight = self._flight_for_new_caller(key, state, work)
        waiter: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        joined = spans.begun(f"wait for {self._name}") if flight.waiters else None
        if joined is not None and flight.span is not None:
            joined.link(flight.span)
        flight.waiters.add(waiter)
        flight.deadline.extend()
        try:
            with spans.Step(joined):
                return await waiter
        finally:
            flight.waiters.discard(waiter)
            if not flight.waiters and not flight.is_over:
                self._abandon(key, state, flight)

    async def close(self) -> None:
        """Ends all work; those who wait get `WorkEnded`."""
        for state in self._states.values():
            flight, state.next_flight = state.next_flight, None
            if flight is not None:
                flight.end_timer()
                flight.fail(WorkEnded())
                flight.end_span(WorkEnded.reason)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def busy(self) -> int:
        """Number of keys with work."""
        return len(self._states)

    def _flight_for_new_caller(
        self, key: Key, state: "_KeyState[Result]", work: Callable[[], Awaitable[Result]]
    ) -> "_Flight[Result]":
        """The run whose result a caller gets that comes now."""
        loop = asyncio.get_running_loop()
        running = state.running[-1] if state.running else None
        if running is not None and running.begun is None:
            return running
        if running is not None and not self._joins_running:
            if state.next_flight is None:
                state.next_flight = _Flight(work, spans.begun(self._name))
                state.next_flight.waits_for_turn(self._name)
                state.next_flight.timer = loop.call_later(self._patience, self._begin_next, key, state)
            return state.next_flight
        if running is not None and running.begun is not None and loop.time() - running.begun <= self._patience:
            return running
        flight = _Flight(work, spans.begun(self._name))
        self._begin(key, state, flight)
        return flight

    def _begin(self, key: Key, state: "_KeyState[Result]", flight: "_Flight[Result]") -> None:
        state.running.append(flight)
        context = flight.deadline.context()
        context.run(fair_share.work_for, flight.owner)
        if flight.span is not None:
            flight.turn_came()
            context.run(spans.work_in, flight.span)
        task = asyncio.create_task(flight.run(), context=context)
        flight.task = task
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._finished(key, state, flight, task))

    def _begin_next(self, key: Key, state: "_KeyState[Result]") -> None:
        flight, state.next_flight = state.next_flight, None
        if flight is not None:
            flight.end_timer()
            self._begin(key, state, flight)

    def _finished(
        self, key: Key, state: "_KeyState[Result]", flight: "_Flight[Result]", task: "asyncio.Task[Result]"
    ) -> None:
        self._tasks.discard(task)
        failure = ""
        if task.cancelled():
            failure = "cancelled"
            flight.fail(WorkEnded())
        elif (error := task.exception()) is not None:
            failure = spans.kind_of(error)
            flight.fail(error)
        elif flight in state.running:
            # Earlier runs were slower. This result is not older than the calls that wait for them.
            for earlier in state.running[: state.running.index(flight) + 1]:
                earlier.succeed(task.result())
        flight.end_span(failure)
        self._remove(key, state, flight)

    def _abandon(self, key: Key, state: "_KeyState[Result]", flight: "_Flight[Result]") -> None:
        """Ends a run that nobody waits for. The next caller does not share it."""
        if flight is state.next_flight:
            flight.end_timer()
            flight.end_span("cancelled")
            state.next_flight = None
        elif flight.task is not None:
            flight.task.cancel()
        self._remove(key, state, flight)

    def _remove(self, key: Key, state: "_KeyState[Result]", flight: "_Flight[Result]") -> None:
        """Removes a run that is over. The next one begins if this was the latest."""
        latest = bool(state.running) and state.running[-1] is flight
        if flight in state.running:
            state.running.remove(flight)
        if latest or not state.running:
            self._begin_next(key, state)
        if not state.running and state.next_flight is None and self._states.get(key) is state:
            del self._states[key]


@dataclass(slots=True, eq=False)
class _Flight(Generic[Result]):
    """One run of work, and the callers that wait for its result."""

    work: Callable[[], Awaitable[Result]]
    span: spans.Span | None
    """In the trace of the first caller."""
    deadline: SharedDeadline = field(default_factory=SharedDeadline)
    owner: str = field(default_factory=fair_share.owner)
    """That of the first caller."""
    waiters: "set[asyncio.Future[Result]]" = field(default_factory=set)
    task: "asyncio.Task[Result] | None" = None
    begun: float | None = None
    timer: asyncio.TimerHandle | None = None
    turn: spans.Span | None = None
    """Its wait for the running flight to end."""

    @property
    def is_over(self) -> bool:
        return self.task is not None and self.task.done()

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
                # The caller may be cancelled before it reads the error; asyncio would log that.
                waiter.exception()

    def waits_for_turn(self, name: str) -> None:
        self.turn = None if self.span is None else self.span.child(f"wait for running {name}")

    def turn_came(self) -> None:
        if self.turn is not None:
            self.turn.end()

    def end_span(self, error: str) -> None:
        if self.turn is not None:
            self.turn.end(error)
        if self.span is not None:
            self.span.end(error)

    def end_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()


@dataclass(slots=True, eq=False)
class _KeyState(Generic[Result]):
    """The runs for one key: those in progress, oldest first, and the one that begins next."""

    running: "list[_Flight[Result]]" = field(default_factory=list)
    next_flight: "_Flight[Result] | None" = None
