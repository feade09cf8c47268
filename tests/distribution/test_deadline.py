"""The ambient deadline: who is bounded by it, and what it makes of time that runs out."""

import asyncio

import pytest

from portus_gateway.distribution import deadline
from portus_gateway.distribution.errors import DeadlineExceeded

LONG = 60.0


async def test_a_block_ends_when_its_time_runs_out() -> None:
    with pytest.raises(DeadlineExceeded, match="ran out"):
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
