import asyncio

import pytest

from portus_gateway.aio.deadline import DeadlineExceeded, remaining, within
from portus_gateway.aio.single_flight import SingleFlight, WorkEnded
from portus_gateway.distribution.errors import Unavailable


async def test_those_who_ask_while_it_runs_share_one_run_and_later_ones_another() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    runs = 0

    async def work() -> int:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0)
        return runs

    assert await asyncio.gather(*(flights.run("a", work) for _ in range(5))) == [1] * 5
    assert await flights.run("a", work) == 2


async def test_an_error_reaches_all_and_is_not_remembered() -> None:
    flights: SingleFlight[str, int] = SingleFlight()

    async def fail() -> int:
        await asyncio.sleep(0)
        raise Unavailable("no")

    async def work() -> int:
        return 1

    outcomes = await asyncio.gather(*(flights.run("a", fail) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
    assert await flights.run("a", work) == 1


async def test_the_cancellation_of_one_leaves_the_others_alone() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    release = asyncio.Event()

    async def work() -> int:
        await release.wait()
        return 7

    first, second = (asyncio.create_task(flights.run("a", work)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    release.set()
    assert await second == 7


async def test_the_work_knows_how_long_the_most_patient_one_waits() -> None:
    flights: SingleFlight[str, list[float | None]] = SingleFlight()
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


async def test_whoever_comes_later_than_it_may_be_joined_begins_anew() -> None:
    flights: SingleFlight[str, int] = SingleFlight(joined_within=0.0)
    runs = 0
    release = asyncio.Event()

    async def work() -> int:
        nonlocal runs
        runs += 1
        mine = runs
        await release.wait()
        return mine

    first = asyncio.ensure_future(flights.run("a", work))
    await asyncio.sleep(0.001)
    second = asyncio.ensure_future(flights.run("a", work))
    await asyncio.sleep(0)
    release.set()
    assert (await first, await second) == (1, 2)


async def test_each_waits_as_long_as_its_own_deadline_allows() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    release = asyncio.Event()

    async def work() -> int:
        await release.wait()
        return 7

    async def hurried() -> int:
        async with within(0.01):
            return await flights.run("a", work)

    patient = asyncio.create_task(flights.run("a", work))
    with pytest.raises(DeadlineExceeded):
        await hurried()
    release.set()
    assert await patient == 7


async def test_closing_answers_those_who_wait() -> None:
    flights: SingleFlight[str, int] = SingleFlight()

    async def never() -> int:
        await asyncio.Event().wait()
        return 0

    waiter = asyncio.create_task(flights.run("a", never))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await flights.close()
    with pytest.raises(WorkEnded) as caught:
        await waiter
    assert caught.value.reason == "SHUTTING_DOWN"
