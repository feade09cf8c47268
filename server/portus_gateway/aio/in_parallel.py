"""The same work for many items, a bounded number of them at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


async def for_each(items: Sequence[Item], work: Callable[[Item], Awaitable[None]], *, at_once: int) -> None:
    """Runs `work` for each item: at most `at_once` at a time, begun in the order of `items`. The first error cancels
    the others and is raised. When this returns or raises, no work is running.
    """
    waiting = iter(items)

    async def take_turns() -> None:
        for item in waiting:
            await work(item)

    workers = [asyncio.ensure_future(take_turns()) for _ in range(min(at_once, len(items)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
