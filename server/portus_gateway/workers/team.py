"""The workers of one gateway: they start, report, drain and end together."""

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Final

import structlog

from portus_gateway.access.errors import InvalidAccessFile
from portus_gateway.settings import InvalidSettings, Value
from portus_gateway.telemetry.gateway_health import STOPPING
from portus_gateway.telemetry.worker_metrics import WorkerMetrics
from portus_gateway.workers.worker import END, Worker

_log = structlog.get_logger(__name__)

# All in seconds. Before a worker is started again: doubled each time that the one before did not live for long.
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
_LONG: Final = 60.0
# Workers are asked so often whether their event loop runs. One that does not answer for so long is killed: the kernel
# goes on giving it connections.
_PING_INTERVAL: Final = 2.0
_PATIENCE: Final = 10.0


class Team:
    """`count` workers, each with the settings `flags`, and what they count together."""

    def __init__(self, count: int, flags: Mapping[str, Value | None]) -> None:
        self._count = count
        self._flags = dict(flags)
        self._page_token_secret = os.urandom(32)
        self._workers: dict[int, Worker] = {}
        self._metrics = WorkerMetrics()
        self._stopping = asyncio.Event()

    @asynccontextmanager
    async def running(self, stop: asyncio.Event, grace: float) -> AsyncGenerator[None, None]:
        """Keeps the workers running for as long as the block runs. It begins when all serve, or when `stop` is set."""
        loop = asyncio.get_running_loop()
        started: list[asyncio.Future[None]] = [loop.create_future() for _ in range(self._count)]
        keepers = [asyncio.create_task(self._keep(number, first, stop)) for number, first in enumerate(started, 1)]
        all_started = asyncio.create_task(asyncio.wait(started, return_when=asyncio.FIRST_EXCEPTION))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([all_started, stopped], return_when=asyncio.FIRST_COMPLETED)
            failures = [error for first in started if first.done() and (error := first.exception()) is not None]
            if failures:
                raise failures[0]
            yield
        finally:
            self._stopping.set()
            all_started.cancel()
            stopped.cancel()
            for first in started:
                first.cancel()
            await asyncio.gather(*(worker.drain() for worker in self._workers.values()))
            _, late = await asyncio.wait(keepers, timeout=grace + END)
            if late:
                _log.error("workers did not end within the grace, and are killed", workers=sorted(self._workers))
                self.kill()
            await asyncio.gather(*keepers)

    def kill(self) -> None:
        """Ends all workers at once."""
        for worker in self._workers.values():
            worker.kill()

    def hang_up(self) -> None:
        """Makes all workers load their files again."""
        for worker in self._workers.values():
            worker.hang_up()

    @property
    def problems(self) -> tuple[str, ...]:
        """What prevents the gateway from serving its callers. It is ready if every worker that serves is."""
        if self._stopping.is_set():
            return (STOPPING,)
        serving = [worker for worker in self._workers.values() if worker.serving]
        if not serving:
            return ("no worker serves",)
        return tuple(dict.fromkeys(problem for worker in serving for problem in worker.problems))

    async def exposition(self) -> bytes:
        """What the workers count, added up, in Prometheus' text format."""
        serving = [worker for worker in self._workers.values() if worker.serving]
        await asyncio.gather(*(worker.collect() for worker in serving))
        return self._metrics.exposition(len(serving))

    async def _keep(self, number: int, first: "asyncio.Future[None]", stop: asyncio.Event) -> None:
        """Runs one worker after another. Where none can be started any more, the whole gateway stops."""
        pause = _FIRST_PAUSE
        try:
            while not self._stopping.is_set():
                began = monotonic()
                failure: Exception
                try:
                    status = await self._run(number, first)
                    failure = OSError(f"a worker ended with status {status}")
                except (InvalidSettings, InvalidAccessFile, OSError) as error:
                    failure = error
                if self._stopping.is_set():
                    return
                _log.error("a worker ended unexpectedly", worker=number, error=str(failure))
                if not first.done():
                    first.set_exception(failure)
                    return
                pause = _FIRST_PAUSE if monotonic() - began > _LONG else pause
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause)
                    return
                pause = min(2 * pause, _LONGEST_PAUSE)
                self._metrics.restarted()
        finally:
            stop.set()

    async def _run(self, number: int, first: "asyncio.Future[None]") -> int:
        """Runs a worker to its end, and returns its exit status, which is negative for a signal."""
        async with await Worker.start(number, self._flags, self._page_token_secret) as worker:
            self._workers[number] = worker
            try:
                if self._stopping.is_set():
                    await worker.drain()
                await worker.wait_until_it_serves()
                _log.debug("a worker serves", worker=number, pid=worker.pid)
                if not first.done():
                    first.set_result(None)
                elif not self._stopping.is_set():
                    _log.info("a worker serves in place of one that ended", worker=number, pid=worker.pid)
                watching = asyncio.create_task(self._watch(number, worker))
                try:
                    async for figures in worker.figures():
                        self._metrics.update(number, figures)
                finally:
                    watching.cancel()
                    await asyncio.gather(watching, return_exceptions=True)
                return await worker.ended()
            finally:
                del self._workers[number]
                self._metrics.ended(number)

    async def _watch(self, number: int, worker: Worker) -> None:
        """Kills a worker that hangs."""
        while await worker.answers(_PATIENCE):  # noqa: ASYNC110  (an interval, and no wait for anything)
            await asyncio.sleep(_PING_INTERVAL)
        _log.error("a worker hangs and is killed", worker=number, pid=worker.pid, seconds=_PATIENCE)
        worker.kill()
