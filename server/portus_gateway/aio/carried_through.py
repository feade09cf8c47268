"""Work that is not broken off half-way because whoever wanted it has gone."""

import asyncio
from collections.abc import Coroutine
from typing import Final, TypeVar

Result = TypeVar("Result")

SHUTDOWN: Final = "shutdown"
"""The message of a cancellation (`Task.cancel`) that ends even what is carried through: the process stops."""


async def carried_through(work: Coroutine[object, None, Result]) -> tuple[Result, asyncio.CancelledError | None]:
    """What `work` answers with, and how the current task was cancelled meanwhile, if it was.

    `work` must bound its own time. The cancellation is the caller's to pass on, when nothing is lost by it any more;
    until then `Task.cancelling` tells of it. One with `SHUTDOWN` ends `work`, and is raised.
    """
    task = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            if SHUTDOWN in error.args:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                raise
            cancellation = error
    return task.result(), cancellation
