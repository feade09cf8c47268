"""The ambient deadline: who is bounded by it, and what it makes of time that runs out."""

import asyncio

import pytest

from portus_gateway.aio import deadline
from portus_gateway.aio.deadline import DeadlineExceeded

LONG = 60.0


async def test_a_block_ends_when_its_time_runs_out() -> None:
    with pytest.raises(DeadlineExceeded, match="deadline passed"):
        async with deadline.within(0.01):
            await asyncio.Event().wait()
    assert deadline.remaining() is None


async def test_the_earlier_deadline_counts_whichever_is_outside() -> None:
    async with deadline.within(LONG):
        async with deadline.within(2 * LONG):
            assert (deadline.remaining() or 0) <= LONG
        with pytest.raises(DeadlineExceeded):
            async with deadline.within(0.01):
                await asyncio.Event().wait()
        # That was the inner one's end alone.
        assert (deadline.remaining() or 0) > LONG / 2


async def test_an_outer_deadline_ends_what_is_inside_of_an_inner_one() -> None:
    with pytest.raises(DeadlineExceeded):
        async with deadline.within(0.01), deadline.within(LONG):
            await asyncio.Event().wait()


async def test_a_time_out_of_something_else_stays_what_it_is() -> None:
    with pytest.raises(TimeoutError) as raised:
        async with deadline.within(LONG):
            raise TimeoutError("of a socket")
    assert not isinstance(raised.value, DeadlineExceeded)


async def test_a_time_out_that_our_own_end_was_turned_into_is_our_own() -> None:
    with pytest.raises(DeadlineExceeded):
        async with deadline.within(0.01):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise TimeoutError("as a library may say it") from None


async def test_a_cancellation_from_outside_stays_one() -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with deadline.within(LONG):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_that_never_waits_has_its_deadline_all_the_same() -> None:
    async def work() -> float | None:
        return deadline.remaining()

    deadline.begin(LONG)
    assert 0 < (await deadline.bounded(work()) or 0) <= LONG


async def test_work_without_a_deadline_ends_when_it_likes() -> None:
    async def work() -> float | None:
        await asyncio.sleep(0)
        return deadline.remaining()

    assert await deadline.bounded(work()) is None


async def test_an_earlier_deadline_stays_in_force() -> None:
    deadline.begin(LONG / 2)
    deadline.begin(LONG)
    assert (deadline.remaining() or LONG) <= LONG / 2


async def test_work_ends_when_its_time_runs_out_however_often_it_has_waited() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            await asyncio.Event().wait()
        finally:
            ended.set()

    deadline.begin(0.01)
    with pytest.raises(DeadlineExceeded, match="deadline passed"):
        await deadline.bounded(work())
    assert ended.is_set()


async def test_work_gets_what_it_waits_for() -> None:
    coming: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    failing: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def work() -> tuple[str, str]:
        asyncio.get_running_loop().call_soon(coming.set_result, "come")
        first = await coming
        asyncio.get_running_loop().call_soon(failing.set_exception, OSError("not come"))
        try:
            return first, await failing
        except OSError as error:
            return first, str(error)

    deadline.begin(LONG)
    assert await deadline.bounded(work()) == ("come", "not come")


async def test_a_failure_of_work_is_passed_on_before_and_after_it_waits() -> None:
    async def work(waits: int) -> None:
        for _ in range(waits):
            await asyncio.sleep(0)
        raise ValueError(waits)

    deadline.begin(LONG)
    for waits in (0, 1, 2):
        with pytest.raises(ValueError, match=str(waits)):
            await deadline.bounded(work(waits))


async def test_a_block_within_work_may_end_before_it_does() -> None:
    async def work() -> float:
        with pytest.raises(DeadlineExceeded):
            async with deadline.within(0.01):
                await asyncio.Event().wait()
        return deadline.remaining() or 0

    deadline.begin(LONG)
    assert LONG / 2 < await deadline.bounded(work()) <= LONG


async def test_work_that_is_cancelled_from_outside_says_so() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    deadline.begin(LONG)
    task = asyncio.create_task(deadline.bounded(work()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
