"""The process around a gateway: its event loop, its memory, and the signals that end it."""

import asyncio
import gc
import os
import signal
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# How many objects more there may be before a search for garbage. A few calls at a time may have Python's default of
# 700, and leave no garbage behind: bench/README.md says what the search costs.
_NEW_OBJECTS = 10_000


def run(main: Coroutine[None, None, None]) -> None:
    """Runs `main` on uvloop where there is one, which saves about a tenth of the CPU."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        asyncio.run(main)
        return
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main)


def settle() -> None:
    """Spares what is there by now, and will stay, every later search for garbage. To be called once it serves."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)


@asynccontextmanager
async def stop_signal(before_end: Callable[[], None] | None = None) -> AsyncGenerator[asyncio.Event, None]:
    """An event that the first SIGINT or SIGTERM sets, from the beginning of the block on. A second one ends the process
    at once, after `before_end`.

    Without it, a process that is the first of its container ignores SIGTERM.
    """
    loop = asyncio.get_running_loop()
    requested = asyncio.Event()

    def end_at_once(number: int, frame: FrameType | None) -> None:
        if before_end is not None:
            before_end()
        _end_at_once(number, frame)

    def request() -> None:
        requested.set()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, end_at_once)

    for number in _SIGNALS:
        loop.add_signal_handler(number, request)
    yield requested


def _end_at_once(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    # As the first process of a container it lives on: the kernel gives such a process no default.
    os._exit(128 + number)
