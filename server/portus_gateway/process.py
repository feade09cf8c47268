"""The process around a gateway: its event loop, and the signals that end it."""

import asyncio
import signal
from collections.abc import Coroutine

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(main: Coroutine[None, None, None]) -> None:
    """Runs `main` on uvloop where there is one, which saves about a tenth of the CPU."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        asyncio.run(main)
        return
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main)


async def stop_requested() -> None:
    """Returns at the first SIGINT or SIGTERM. A second one then ends the process at once."""
    loop = asyncio.get_running_loop()
    requested = asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, requested.set)
    try:
        await requested.wait()
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
