"""One piece of work for all who ask for the same at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextvars import Context
from typing import Generic, TypeVar

from portus_gateway.distribution.errors import Unavailable

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class SingleFlight(Generic[Key, Result]):
    """Runs the work for a key once; whoever asks while it runs gets the same outcome.

    The work belongs to nobody who waits: it runs in a task and a context of its own (no caller's deadline), and one
    caller's cancellation never fails another's. The work must bound its own time.
    """

    def __init__(self) -> None:
        self._running: dict[Key, asyncio.Task[Result]] = {}

    async def run(self, key: Key, work: Callable[[], Awaitable[Result]]) -> Result:
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(_awaited(work), context=Context())
            self._running[key] = task
            task.add_done_callback(lambda done: self._finished(key, done))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if task.cancelled() and (current is None or not current.cancelling()):
                # Not this caller was cancelled but the work, by `close`. A bare CancelledError would leave
                # the caller's RPC without any answer (grpc#29248).
                raise Unavailable("the client is closing", reason="SHUTTING_DOWN", sent=False) from None
            raise

    async def close(self) -> None:
        """Ends what still runs."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _finished(self, key: Key, task: "asyncio.Task[Result]") -> None:
        del self._running[key]
        if not task.cancelled():
            # Retrieved here as well: all who waited may have been cancelled meanwhile.
            task.exception()


async def _awaited(work: Callable[[], Awaitable[Result]]) -> Result:
    return await work()
