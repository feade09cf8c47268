"""An event loop in a thread. It keeps servers running while a test waits for other programs."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

Value = TypeVar("Value")


@contextmanager
def running(context: AbstractAsyncContextManager[Value]) -> Iterator[Value]:
    """Enters and leaves `context` in its own thread, and keeps it open between."""
    entered: Future[Value] = Future()
    loop = asyncio.new_event_loop()
    leave = asyncio.Event()

    async def hold() -> None:
        async with context as value:
            entered.set_result(value)
            await leave.wait()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(hold())
        except BaseException as error:
            if entered.done():
                raise
            entered.set_exception(error)

    thread = threading.Thread(target=run, name="running")
    thread.start()
    try:
        yield entered.result(60)
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(leave.set)
        thread.join(60)
