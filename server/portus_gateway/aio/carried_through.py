"""Work that runs to its end even if its caller is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Final, TypeVar

Result = TypeVar("Result")

SHUTDOWN: Final = "shutdown"
"""A cancellation with this message (`Task.cancel`) also ends work that is carried through: the process stops."""


async def carried_through(work: Coroutine[object, None, Result]) -> tuple[Result, asyncio.CancelledError | None]:
    """Runs `work` to its end. Returns its result, and the cancellation of the current task if it was cancelled
    meanwhile.

    `work` must bound its own time. The caller must raise the returned cancellation as soon as nothing can be lost by
    it. A cancellation with `SHUTDOWN` ends `work` and is raised here.
    """
    task = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            if SHUTDOWN in error.args:
                task.cancel(SHUTDOWN)
                await asyncio.gather(task, return_exceptions=True)
                raise
            cancellation = error
    return task.result(), cancellation
