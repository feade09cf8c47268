"""How a process ends: by a signal, by a second one, and when something hangs."""

import signal
import subprocess
import sys
import time

import pytest

SCRIPT = r"""
import asyncio, sys, threading, time
from portus_gateway import process
process._CLOSING = 0.5
async def main():
    async with process.stop_signal(grace=0.5) as stop:
        print("ready", flush=True)
        if "blocked" in sys.argv:
            time.sleep(60)
        await stop.wait()
        print("stopping", flush=True)
        if "waits" in sys.argv:
            await asyncio.sleep(60)
    if "executor" in sys.argv:
        asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)
process.run(main())
print("ended", flush=True)
"""


def started(*arguments: str) -> "subprocess.Popen[str]":
    running = subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    return running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_it_to_stop(number: signal.Signals) -> None:
    with started() as running:
        running.send_signal(number)
        output, _ = running.communicate(timeout=30)
    assert (output, running.returncode) == ("stopping\nended\n", 0)


@pytest.mark.parametrize("hangs", ["waits", "blocked", "executor"])
def test_it_ends_in_bounded_time_whatever_hangs(hangs: str) -> None:
    """A call that does not end, a blocked event loop, a thread that waits for a disk."""
    with started(hangs) as running:
        began = time.monotonic()
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=30)
    assert running.returncode == 1
    assert time.monotonic() - began < 20


def test_a_second_signal_ends_it_at_once() -> None:
    with started("waits") as running:
        running.send_signal(signal.SIGTERM)
        assert running.stdout is not None
        assert running.stdout.readline() == "stopping\n"
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=30)
    assert running.returncode == -signal.SIGTERM
