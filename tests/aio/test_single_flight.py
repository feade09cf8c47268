import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from portus_gateway.aio.deadline import DeadlineExceeded, remaining, within
from portus_gateway.aio.single_flight import SingleFlight, WorkEnded
from portus_gateway.distribution.errors import Unavailable

PATIENCE = 10.0


@dataclass
class Work:
    """Work whose runs a test ends, each by its number from 1."""

    runs: "list[asyncio.Future[int]]" = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    _begun: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def __call__(self) -> int:
        run: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        async with self._begun:
            self.runs.append(run)
            self._begun.notify_all()
        try:
            return await run
        finally:
            self.running -= 1

    async def begun(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE), self._begun:
            await self._begun.wait_for(lambda: len(self.runs) >= count)

    def end(self, number: int) -> None:
        """Lets that run answer with its number."""
        self.runs[number - 1].set_result(number)

    def fail(self, number: int) -> None:
        self.runs[number - 1].set_exception(Unavailable(f"run {number}"))


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
async def flights() -> AsyncIterator[SingleFlight[str, int]]:
    flights: SingleFlight[str, int] = SingleFlight()
    yield flights
    await flights.close()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def asking(flights: SingleFlight[str, int], work: Work, callers: int = 1) -> "list[asyncio.Task[int]]":
    return [asyncio.create_task(flights.run("a", work)) for _ in range(callers)]


async def test_simultaneous_callers_share_one_run(flights: SingleFlight[str, int], work: Work) -> None:
    callers = asking(flights, work, 5)
    await work.begun(1)
    work.end(1)
    assert await asyncio.gather(*callers) == [1] * 5
    (later,) = asking(flights, work)
    await work.begun(2)
    work.end(2)
    assert await later == 2


async def test_callers_during_a_run_share_the_next_one(flights: SingleFlight[str, int], work: Work) -> None:
    first = asking(flights, work)
    await work.begun(1)
    second = asking(flights, work, 31)
    await turns()
    assert len(work.runs) == 1
    work.end(1)
    assert await asyncio.gather(*first) == [1]
    await work.begun(2)
    third = asking(flights, work)
    work.end(2)
    assert await asyncio.gather(*second) == [2] * 31
    await work.begun(3)
    work.end(3)
    assert await asyncio.gather(*third) == [3]
    assert work.most_running == 1


async def test_with_joins_running_callers_share_the_current_run(work: Work) -> None:
    flights: SingleFlight[str, int] = SingleFlight(joins_running=True)
    first = asking(flights, work)
    await work.begun(1)
    second = asking(flights, work, 3)
    await turns()
    work.end(1)
    assert await asyncio.gather(*first, *second) == [1] * 4
    assert len(work.runs) == 1


async def test_different_keys_do_not_wait_for_one_another(flights: SingleFlight[str, int], work: Work) -> None:
    first = asyncio.create_task(flights.run("a", work))
    other = asyncio.create_task(flights.run("b", work))
    await work.begun(2)
    work.end(1)
    work.end(2)
    assert (await first, await other) == (1, 2)


@pytest.mark.parametrize("joins_running", [False, True])
async def test_an_error_reaches_all_who_wait_and_is_not_remembered(work: Work, joins_running: bool) -> None:
    flights: SingleFlight[str, int] = SingleFlight(joins_running=joins_running)
    callers = asking(flights, work, 3)
    await work.begun(1)
    work.fail(1)
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["run 1"] * 3
    (later,) = asking(flights, work)
    await work.begun(2)
    work.end(2)
    assert await later == 2


async def test_an_error_does_not_affect_the_next_run(flights: SingleFlight[str, int], work: Work) -> None:
    (first,) = asking(flights, work)
    await work.begun(1)
    (second,) = asking(flights, work)
    await turns()
    work.fail(1)
    with pytest.raises(Unavailable):
        await first
    await work.begun(2)
    work.end(2)
    assert await second == 2


async def test_the_cancellation_of_one_leaves_the_others_alone(flights: SingleFlight[str, int], work: Work) -> None:
    first, second = asking(flights, work, 2)
    await work.begun(1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    work.end(1)
    assert await second == 1


@pytest.mark.parametrize("joins_running", [False, True])
async def test_work_is_cancelled_when_nobody_waits_for_it(work: Work, joins_running: bool) -> None:
    flights: SingleFlight[str, int] = SingleFlight(joins_running=joins_running)
    first = asking(flights, work, 2)
    await work.begun(1)
    for caller in first:
        caller.cancel()
    await asyncio.gather(*first, return_exceptions=True)
    (second,) = asking(flights, work)
    await work.begun(2)
    assert work.runs[0].cancelled()
    work.end(2)
    assert await second == 2


async def test_the_next_run_begins_at_once_when_nobody_waits_for_the_current_one(
    flights: SingleFlight[str, int], work: Work
) -> None:
    (first,) = asking(flights, work)
    await work.begun(1)
    (second,) = asking(flights, work)
    await turns()
    first.cancel()
    await work.begun(2)
    assert work.runs[0].cancelled()
    work.end(2)
    assert await second == 2


async def test_a_run_without_callers_never_begins(flights: SingleFlight[str, int], work: Work) -> None:
    (first,) = asking(flights, work)
    await work.begun(1)
    (second,) = asking(flights, work)
    await turns()
    second.cancel()
    await turns()
    work.end(1)
    assert await first == 1
    await turns()
    assert len(work.runs) == 1


@pytest.mark.parametrize("joins_running", [False, True])
async def test_a_run_that_hangs_delays_the_next_one_for_a_limited_time(work: Work, joins_running: bool) -> None:
    flights: SingleFlight[str, int] = SingleFlight(joins_running=joins_running, patience=0.01)
    (first,) = asking(flights, work)
    await work.begun(1)
    if joins_running:
        # Whoever comes when it has run for that long does not join it.
        while len(work.runs) == 1:
            (second,) = asking(flights, work)
            await asyncio.sleep(0.001)
    else:
        (second,) = asking(flights, work)
    await work.begun(2)
    assert not work.runs[0].done()
    work.end(2)
    # The one that hangs is needed by nobody any more: this result is from after its callers came, too.
    assert (await first, await second) == (2, 2)
    await turns()
    assert work.runs[0].cancelled()
    assert work.running == 0


async def test_an_error_of_a_later_run_does_not_affect_an_earlier_one(work: Work) -> None:
    flights: SingleFlight[str, int] = SingleFlight(patience=0.01)
    (first,) = asking(flights, work)
    await work.begun(1)
    (second,) = asking(flights, work)
    await work.begun(2)
    work.fail(2)
    with pytest.raises(Unavailable):
        await second
    (third,) = asking(flights, work)
    await work.begun(3)
    work.end(1)
    assert await first == 1
    work.end(3)
    assert await third == 3


async def test_work_has_the_latest_deadline_of_its_callers() -> None:
    flights: SingleFlight[str, list[float | None]] = SingleFlight(joins_running=True)
    steps = asyncio.Semaphore(0)

    async def work() -> list[float | None]:
        seen = []
        for _ in range(3):
            await steps.acquire()
            seen.append(remaining())
        return seen

    async def wait(seconds: float | None) -> list[float | None]:
        if seconds is None:
            return await flights.run("a", work)
        async with within(seconds):
            return await flights.run("a", work)

    waiting = []
    for seconds in (5.0, 60.0, None):
        waiting.append(asyncio.ensure_future(wait(seconds)))
        await asyncio.sleep(0)
        steps.release()
        await asyncio.sleep(0)
    first, second, third = (await asyncio.gather(*waiting))[0]
    assert first is not None
    assert 4 < first <= 5
    assert second is not None
    assert 59 < second <= 60
    assert third is None


async def test_the_next_run_has_the_deadline_of_its_own_callers() -> None:
    flights: SingleFlight[str, float | None] = SingleFlight()
    release = asyncio.Event()

    async def wait(seconds: float) -> float | None:
        async def left() -> float | None:
            await release.wait()
            return remaining()

        async with within(seconds):
            return await flights.run("a", left)

    first = asyncio.create_task(wait(100))
    await turns()
    second = asyncio.create_task(wait(20))
    await turns()
    release.set()
    assert (await first or 0) > 90
    assert 15 < (await second or 0) <= 20


async def test_each_caller_keeps_its_own_deadline(flights: SingleFlight[str, int], work: Work) -> None:
    async def hurried() -> int:
        async with within(0.01):
            return await flights.run("a", work)

    (patient,) = asking(flights, work)
    with pytest.raises(DeadlineExceeded):
        await hurried()
    work.end(1)
    assert await patient == 1


async def test_closing_answers_those_who_wait(flights: SingleFlight[str, int], work: Work) -> None:
    callers = asking(flights, work)
    await work.begun(1)
    callers += asking(flights, work)
    await turns()
    await flights.close()
    for caller in callers:
        with pytest.raises(WorkEnded) as caught:
            await caller
        assert caught.value.reason == "SHUTTING_DOWN"
    await turns()
    assert len(work.runs) == 1


async def test_work_that_is_cancelled_by_something_else_answers_those_who_wait(
    flights: SingleFlight[str, int], work: Work
) -> None:
    """A bare CancelledError would leave the caller's RPC without any answer (grpc#29248)."""
    (caller,) = asking(flights, work)
    await work.begun(1)
    work.runs[0].cancel()
    with pytest.raises(WorkEnded):
        await caller


async def test_nothing_remains_after_the_last_run(flights: SingleFlight[str, int], work: Work) -> None:
    callers = asking(flights, work)
    await work.begun(1)
    callers += asking(flights, work)
    await turns()
    work.end(1)
    await work.begun(2)
    work.end(2)
    await asyncio.gather(*callers)
    await turns()
    assert len(asyncio.all_tasks()) == 1
    assert flights.busy == 0
