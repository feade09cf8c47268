"""Work that would hold up the event loop, on a thread of its own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from portus_gateway.aio.single_flight import WorkEnded

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class OneThread:
    """Runs functions off the event loop, one at a time.

    Python runs one thread at a time, in turns of 5 ms. With several busy threads, the event loop would wait for each of
    them. A function that runs is not ended when its caller leaves, so it must be short.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, name)
        self._closed = False

    async def run(self, function: Callable[[Argument], Result], argument: Argument) -> Result:
        """The result of `function`. Raises `WorkEnded` after `close`."""
        if self._closed:
            raise WorkEnded
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, argument)

    def close(self) -> None:
        """Ends the thread after the function that runs now. Functions that wait are cancelled."""
        self._closed = True
        self._executor.shutdown(wait=False, cancel_futures=True)
