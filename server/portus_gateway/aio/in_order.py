"""The same work for many items, several at the same time, with the results in the order of the items."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathering(Generic[Result]):
    """Which results come together.

    The first one comes at once. Later ones come `pause` seconds after the ones before, or as soon as the sum of their
    `size_of` is `full`.
    """

    pause: float
    full: int
    size_of: Callable[[Result], int]


async def in_order(
    groups: AsyncGenerator[Sequence[Item], None],
    work: Callable[[Item], Awaitable[Result]],
    *,
    at_once: int,
    gathering: Gathering[Result],
) -> AsyncGenerator[list[Result], None]:
    """The results of `work` for all items of `groups`.

    `work` runs for `at_once` items at the same time. While the reader is busy, it runs until the results that wait for
    the reader are `gathering.full`. The next group is fetched while `work` runs for the items of the one before. At
    most two groups are in memory.

    An error of `work` or of `groups` is raised after the results of all items before it. When this generator is closed,
    no work is running and `groups` is closed, too.
    """
    line = _Line(work, at_once, gathering)
    tasks = [asyncio.create_task(line.fetch(groups)), *(asyncio.create_task(line.work_off()) for _ in range(at_once))]
    try:
        while results := await line.results():
            yield results
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        line.close()
        await groups.aclose()


class _Place(Generic[Result]):
    """The place of an item that is worked on. It has a result if the work is done, or an error if it failed."""

    __slots__ = ("error", "is_done", "result")
    result: Result

    def __init__(self) -> None:
        self.is_done = False
        self.error: BaseException | None = None


class _Line(Generic[Item, Result]):
    """Items that wait, items that are worked on, and results that wait for the reader, all in their order."""

    def __init__(self, work: Callable[[Item], Awaitable[Result]], at_once: int, gathering: Gathering[Result]) -> None:
        self._work = work
        self._most_places = at_once
        self._gathering = gathering
        self._items: deque[Item] = deque()
        self._places: deque[_Place[Result]] = deque()
        self._results: list[Result] = []
        self._size = 0
        self._has_all_items = False
        self._error: BaseException | None = None
        self._error_after_all: BaseException | None = None
        self._due_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._needs_items = asyncio.Event()
        self._may_begin = asyncio.Event()
        self._may_read = asyncio.Event()

    async def fetch(self, groups: AsyncGenerator[Sequence[Item], None]) -> None:
        """Adds the items of each group when the work for the last item of the one before has begun."""
        try:
            async for group in groups:
                while self._items:
                    self._needs_items.clear()
                    await self._needs_items.wait()
                self._items.extend(group)
                self._wake()
        except BaseException as error:
            self._error_after_all = error
        self._has_all_items = True
        self._wake()

    async def work_off(self) -> None:
        """Works on one item after the other. The first error ends it."""
        while True:
            while not self._can_begin():
                self._may_begin.clear()
                await self._may_begin.wait()
            item = self._items.popleft()
            place: _Place[Result] = _Place()
            self._places.append(place)
            try:
                place.result = await self._work(item)
            except BaseException as error:
                place.error = error
                # An error refers to its frames. If a frame refers to the error, only the garbage collector frees them.
                del place
                self._gather()
                return
            place.is_done = True
            self._gather()

    async def results(self) -> list[Result]:
        """The next ones. Empty at the end. Raises the error of `work` or of the groups."""
        await self._may_read.wait()
        self._may_read.clear()
        self._end_timer()
        results, self._results, self._size = self._results, [], 0
        self._due_at = asyncio.get_running_loop().time() + self._gathering.pause
        self._wake()
        error = self._error or self._error_after_all
        if error is not None and not results:
            raise error
        return results

    def close(self) -> None:
        """Forgets everything. To be called when no work is running any more."""
        self._end_timer()
        self._places.clear()
        self._error = self._error_after_all = None

    def _gather(self) -> None:
        """Moves the results that are next to those that wait for the reader."""
        places = self._places
        while places and places[0].is_done:
            result = places.popleft().result
            self._results.append(result)
            self._size += self._gathering.size_of(result)
        if places and places[0].error is not None:
            self._error = places[0].error
        if self._results and self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(self._due_at, self._may_read.set)
        self._wake()

    def _wake(self) -> None:
        """Wakes everybody who can continue now."""
        if not self._items:
            self._needs_items.set()
        if self._can_begin():
            self._may_begin.set()
        is_over = self._has_all_items and not self._items and not self._places
        if is_over or self._error is not None or self._size >= self._gathering.full:
            self._may_read.set()

    def _can_begin(self) -> bool:
        return (
            bool(self._items)
            and len(self._places) < self._most_places
            and self._size < self._gathering.full
            and self._error is None
        )

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
