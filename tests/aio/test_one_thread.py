import asyncio
import threading

import pytest

from portus_gateway.aio.one_thread import OneThread
from portus_gateway.aio.single_flight import WorkEnded


async def test_functions_run_on_another_thread_one_at_a_time() -> None:
    one_thread = OneThread("test")
    running = 0
    most = 0

    def count(number: int) -> tuple[int, int]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        running -= 1
        return number, threading.get_ident()

    answers = await asyncio.gather(*(one_thread.run(count, number) for number in range(20)))
    one_thread.close()
    assert [number for number, _ in answers] == list(range(20))
    threads = {thread for _, thread in answers}
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    assert most == 1


async def test_an_error_is_raised_for_the_caller() -> None:
    one_thread = OneThread("test")
    with pytest.raises(ZeroDivisionError):
        await one_thread.run(lambda number: 1 // number, 0)
    one_thread.close()


async def test_a_caller_may_leave_while_its_function_runs() -> None:
    one_thread = OneThread("test")
    begun, go_on = threading.Event(), threading.Event()

    def wait(_: None) -> bool:
        begun.set()
        return go_on.wait(10)

    leaving = asyncio.ensure_future(one_thread.run(wait, None))
    await asyncio.get_running_loop().run_in_executor(None, begun.wait)
    waiting = asyncio.ensure_future(one_thread.run(wait, None))
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    go_on.set()
    assert await waiting
    one_thread.close()


async def test_after_close_no_function_runs() -> None:
    one_thread = OneThread("test")
    one_thread.close()
    with pytest.raises(WorkEnded):
        await one_thread.run(abs, -1)
