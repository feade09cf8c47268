"""Runs a gateway as long as a block: in its own thread, or in the running loop."""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from portus_client.testing.gateway_under_test import GatewayUnderTest
from portus_client.testing.serving import serving


class GatewayBlock:
    """A gateway for one `with` or `async with` block."""

    def __init__(self, *, seed: bool, allow_delete: bool) -> None:
        self._seed = seed
        self._allow_delete = allow_delete
        self._in_this_loop: AbstractAsyncContextManager[GatewayUnderTest] | None = None

    def __enter__(self) -> GatewayUnderTest:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="portus-gateway")
        started: Future[GatewayUnderTest] = Future()
        self._ended = self._thread.submit(asyncio.run, self._serve(started))
        self._ended.add_done_callback(lambda ended: _raise_failed_start(ended, started))
        try:
            return started.result()
        except BaseException:
            self._thread.shutdown()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.shutdown()
        self._ended.result()

    async def __aenter__(self) -> GatewayUnderTest:
        self._in_this_loop = serving(seed=self._seed, allow_delete=self._allow_delete)
        return await self._in_this_loop.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._in_this_loop is not None:
            await self._in_this_loop.__aexit__(kind, error, traceback)

    async def _serve(self, started: Future[GatewayUnderTest]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with serving(seed=self._seed, allow_delete=self._allow_delete) as gateway:
            started.set_result(gateway)
            await self._stop.wait()


def _raise_failed_start(ended: "Future[None]", started: "Future[GatewayUnderTest]") -> None:
    """Makes the block raise the reason for a failed start."""
    if not started.done():
        started.set_exception(ended.exception() or RuntimeError("the gateway ended before it started"))
