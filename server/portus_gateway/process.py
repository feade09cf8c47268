"""The process around a gateway: its event loop, its memory, and the signals that end it."""

import asyncio
import gc
import os
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from types import FrameType
from typing import Final

import structlog

from portus_gateway.telemetry import logs

_OPEN_FILES: Final = 65_536
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
# How many new objects there may be before the next garbage collection. Python's default of 700 is reached by a few
# calls, which leave no garbage behind. bench/README.md says what a collection costs.
_NEW_OBJECTS: Final = 10_000
# What a process may take beyond the grace of its calls: connections, files and threads are closed then.
_CLOSING: Final = 10.0
# What is left of the log is written within this time where a process ends at once.
_LAST_LINES: Final = 0.5
_FAILURE: Final = 1
_log = structlog.get_logger(__name__)


def run(main: Coroutine[None, None, None]) -> None:
    """Runs `main` on uvloop where it is installed, which saves about a tenth of the CPU."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        asyncio.run(main)
        return
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main)


def allow_many_open_files() -> None:
    """Raises the soft limit of open files to what a busy gateway needs, as far as the hard limit allows it.

    Each connection is one. Systems have a soft limit of 1024 for programs that use `select`, which this one does not.
    """
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def exclude_from_garbage_collection() -> None:
    """Excludes all objects that exist by now from later garbage collections. To be called once the gateway serves."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)


@asynccontextmanager
async def stop_signal(
    *, grace: float | None = None, before_end: Callable[[], None] | None = None
) -> AsyncGenerator[asyncio.Event, None]:
    """An event that the first SIGINT or SIGTERM sets. A second one ends the process at once, after `before_end`.

    With `grace`, the process ends at the latest `grace` and ten seconds after the first signal, even if something
    hangs. Without any of this, a process that is the first of its container ignores SIGTERM.
    """
    loop = asyncio.get_running_loop()
    requested = asyncio.Event()

    def end_at_once(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if before_end is not None:
            before_end()
        _end_by(number)

    def end_late() -> None:
        _log.error("the process did not end in time, and is ended now", seconds=(grace or 0) + _CLOSING)
        if before_end is not None:
            before_end()
        logs.flush(_LAST_LINES)
        os._exit(_FAILURE)

    def request(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        # Not the event loop's own handler: that one runs only when nothing blocks the loop.
        loop.call_soon_threadsafe(requested.set)
        for each in _SIGNALS:
            signal.signal(each, end_at_once)
        if grace is not None:
            watchdog = threading.Timer(grace + _CLOSING, end_late)
            watchdog.daemon = True
            watchdog.start()

    for number in _SIGNALS:
        signal.signal(number, request)
    yield requested


def _end_by(number: int) -> None:
    logs.flush(_LAST_LINES)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    # The first process of a container survives this: the kernel has no default action for it.
    os._exit(128 + number)
