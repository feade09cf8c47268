import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager

import pytest

from portus_gateway.aio.in_order import Gathering, in_order

PATIENCE = 10.0
NEVER = 3600.0


class Work:
    """Work whose result is the item. A test lets it end, for one item after the other or for all."""

    def __init__(self, *, ends: bool = False) -> None:
        self.begun: list[int] = []
        self.running = 0
        self.most_running = 0
        self._ends = ends
        self._open: dict[int, asyncio.Future[int]] = {}

    async def __call__(self, item: int) -> int:
        self.begun.append(item)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self._open[item] = asyncio.get_running_loop().create_future()
        if self._ends:
            asyncio.get_running_loop().call_soon(self.end, item)
        try:
            return await self._open[item]
        finally:
            self.running -= 1

    def end(self, *items: int) -> None:
        for item in items:
            self._open[item].set_result(item)

    def fail(self, item: int, error: BaseException) -> None:
        self._open[item].set_exception(error)


class Groups:
    """Groups of items, one after the other. It fails after the last one if it has an `error`."""

    def __init__(self, *groups: Sequence[int], error: BaseException | None = None) -> None:
        self.fetched = 0
        self.is_closed = False
        self._groups = groups
        self._error = error

    async def __call__(self) -> AsyncGenerator[Sequence[int], None]:
        try:
            for group in self._groups:
                self.fetched += 1
                yield group
            if self._error is not None:
                raise self._error
        finally:
            self.is_closed = True


@asynccontextmanager
async def reading(
    groups: Groups, work: Work, *, at_once: int = 4, pause: float = NEVER, full: int = 1_000_000
) -> AsyncGenerator[AsyncGenerator[list[int], None], None]:
    """The results, each of the size 1. Nothing runs any more when they are closed."""
    gathering: Gathering[int] = Gathering(pause=pause, full=full, size_of=lambda _: 1)
    async with asyncio.timeout(PATIENCE):
        async with aclosing(in_order(groups(), work, at_once=at_once, gathering=gathering)) as results:
            yield results
        assert work.running == 0
        assert len(asyncio.all_tasks()) == 1


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def flat(lists: Sequence[list[int]]) -> Iterator[int]:
    return (item for one in lists for item in one)


async def test_results_come_in_order_from_work_at_the_same_time() -> None:
    work = Work(ends=True)
    groups = Groups(range(50), (), range(50, 100))
    async with reading(groups, work) as results:
        assert list(flat([some async for some in results])) == list(range(100))
    assert work.most_running == 4


async def test_without_items_there_are_no_results() -> None:
    async with reading(Groups(), Work()) as results:
        assert [some async for some in results] == []


async def test_the_first_result_comes_at_once_and_later_ones_together() -> None:
    work = Work()
    async with reading(Groups(range(4)), work) as results:
        first = asyncio.ensure_future(anext(results))
        await turns()
        work.end(2, 0)
        assert await first == [0]
        work.end(1, 3)
        assert await anext(results) == [1, 2, 3]
        assert await anext(results, None) is None


async def test_after_the_pause_results_do_not_wait_for_others() -> None:
    work = Work()
    async with reading(Groups(range(3)), work, pause=0.01) as results:
        first = asyncio.ensure_future(anext(results))
        await turns()
        work.end(0)
        assert await first == [0]
        work.end(1)
        assert await anext(results) == [1]


async def test_full_results_do_not_wait_for_the_pause() -> None:
    work = Work()
    async with reading(Groups(range(6)), work, full=3) as results:
        first = asyncio.ensure_future(anext(results))
        await turns()
        work.end(0)
        assert await first == [0]
        await turns()
        work.end(1, 2, 3)
        assert await anext(results) == [1, 2, 3]


async def test_while_the_reader_is_busy_work_goes_on_until_results_are_full() -> None:
    work = Work(ends=True)
    groups = Groups(*[range(10 * number, 10 * number + 10) for number in range(10)])
    async with reading(groups, work, at_once=2, full=5) as results:
        read = await anext(results)
        await turns()
        begun = len(work.begun)
        # Those that are full, and one more that was being worked on.
        assert begun - len(read) in (5, 6)
        await turns()
        assert len(work.begun) == begun
        assert work.running == 0
        assert read + list(flat([some async for some in results])) == list(range(100))


async def test_behind_slow_work_only_a_few_results_wait() -> None:
    work = Work()
    async with reading(Groups(range(10)), work) as results:
        first = asyncio.ensure_future(anext(results))
        await turns()
        work.end(1, 2, 3)
        await turns()
        assert work.begun == [0, 1, 2, 3]
        work.end(0)
        assert await first == [0, 1, 2, 3]
        await turns()
        assert work.begun == list(range(8))


async def test_only_the_next_group_is_fetched() -> None:
    work = Work()
    groups = Groups(range(4), range(4, 8), range(8, 12))
    async with reading(groups, work, at_once=2) as results:
        first = asyncio.ensure_future(anext(results))
        await turns()
        assert groups.fetched == 2
        work.end(0, 1)
        assert await first == [0, 1]
        await turns()
        assert work.begun == [0, 1, 2, 3]
        assert groups.fetched == 3


async def test_an_error_comes_after_the_results_before_it_and_ends_the_work() -> None:
    work = Work()
    async with reading(Groups(range(10)), work, at_once=3) as results:
        first = asyncio.ensure_future(anext(results))
        await turns()
        work.fail(1, ValueError("one"))
        work.end(2)
        await turns()
        assert not first.done()
        work.end(0)
        assert await first == [0]
        with pytest.raises(ValueError, match="one"):
            await anext(results)
        assert work.begun == [0, 1, 2]


async def test_an_error_of_the_groups_comes_after_all_results() -> None:
    work = Work()
    async with reading(Groups(range(2), error=ValueError("groups")), work) as results:
        first = asyncio.ensure_future(anext(results))
        await turns()
        work.end(1)
        await turns()
        assert not first.done()
        work.end(0)
        assert await first == [0, 1]
        with pytest.raises(ValueError, match="groups"):
            await anext(results)


@pytest.mark.parametrize("fails", ["work", "groups"])
async def test_a_cancellation_from_inside_is_an_error(fails: str) -> None:
    work = Work()
    cancelled = asyncio.CancelledError()
    groups = Groups(range(1)) if fails == "work" else Groups(error=cancelled)
    async with reading(groups, work) as results:
        first = asyncio.ensure_future(anext(results))
        await turns()
        if fails == "work":
            work.fail(0, cancelled)
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_a_reader_that_leaves_ends_the_work_and_closes_the_groups() -> None:
    work = Work()
    groups = Groups(range(10), range(10))
    async with reading(groups, work) as results:
        first = asyncio.ensure_future(anext(results))
        await turns()
        assert work.running == 4
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    assert work.running == 0
    assert groups.is_closed
