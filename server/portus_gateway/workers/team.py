"""Several processes that serve the same ports, as one gateway: they start, report, drain and end together."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from time import monotonic
from typing import Final, Self

import structlog

from portus_gateway import process
from portus_gateway.access.errors import InvalidAccessFile
from portus_gateway.settings import InvalidSettings, Problem, Settings, Value
from portus_gateway.telemetry import worker_logs
from portus_gateway.telemetry.announcement import announce
from portus_gateway.telemetry.figures import Figures
from portus_gateway.telemetry.metrics_server import MetricsServer
from portus_gateway.telemetry.worker_metrics import WorkerMetrics
from portus_gateway.workers.channel import (
    AccessFileInvalid,
    CannotServe,
    Collect,
    Drain,
    Message,
    Serve,
    Serving,
    SettingsInvalid,
    WorkerChannel,
)
from portus_gateway.workers.shared_port import shared_port

_log = structlog.get_logger(__name__)

# All in seconds. For a worker to load, and to fetch the keys of an issuer.
_START: Final = 60.0
# For the figures of a worker: those before are shown where it takes longer.
_COLLECTION: Final = 2.0
# After the grace, and after a worker's last word: before it is killed.
_END: Final = 5.0
# Before a worker is started again: doubled each time that the one before had not lived for long.
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
_LONG: Final = 60.0


async def serve(settings: Settings, flags: Mapping[str, Value | None]) -> None:
    """Serves with `settings.workers` processes until SIGTERM or SIGINT; then drains them, within the grace.

    Each worker has the environment and `flags`, which `settings` were made of. A SIGHUP goes to all of them. One that
    dies is started again; if this process dies, they drain and end.

    Raises `OSError` where it cannot listen, and `InvalidAccessFile` and `InvalidSettings` as `app.running` does.
    """
    worker_logs.share()
    async with AsyncExitStack() as stack:
        address = stack.enter_context(shared_port(settings.listen))
        mtls = settings.mtls_listen and stack.enter_context(shared_port(settings.mtls_listen))
        told: dict[str, Value | None] = {**flags, "listen": str(address)}
        if mtls is not None:
            told["mtls_listen"] = str(mtls)
        team = Team(settings.workers, told)
        metrics = None
        if settings.metrics_listen is not None:
            metrics = (await stack.enter_async_context(MetricsServer(team, settings.metrics_listen))).address
        stop = await stack.enter_async_context(process.stop_signal(team.kill))
        async with team.running(stop, settings.drain_grace):
            if not stop.is_set():
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, team.hang_up)
                announce(settings, address, metrics=metrics, mtls=mtls, workers=settings.workers)
            await stop.wait()
            _log.info("draining", grace=settings.drain_grace)
    _log.info("stopped")


class Team:
    """`count` workers, each told `flags`, and what they count together."""

    def __init__(self, count: int, flags: Mapping[str, Value | None]) -> None:
        self._count = count
        self._flags = dict(flags)
        self._workers: dict[int, Worker] = {}
        self._metrics = WorkerMetrics()
        self._stopping = asyncio.Event()

    @asynccontextmanager
    async def running(self, stop: asyncio.Event, grace: float) -> AsyncGenerator[None, None]:
        """Keeps the workers running for as long as the block runs: from when all serve, or `stop` is set before."""
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
            _, late = await asyncio.wait(keepers, timeout=grace + _END)
            if late:
                _log.error("workers did not end within the grace: they are killed", workers=sorted(self._workers))
                self.kill()
            await asyncio.gather(*keepers)

    def kill(self) -> None:
        """Ends all workers at once."""
        for worker in self._workers.values():
            worker.kill()

    def hang_up(self) -> None:
        """Has all workers read their files again."""
        for worker in self._workers.values():
            worker.hang_up()

    async def exposition(self) -> bytes:
        """What the workers count, added up, in Prometheus' text format."""
        serving = [worker for worker in self._workers.values() if worker.serving]
        await asyncio.gather(*(worker.collect() for worker in serving))
        return self._metrics.exposition(len(serving))

    async def _keep(self, number: int, first: "asyncio.Future[None]", stop: asyncio.Event) -> None:
        """Runs one worker after another. Where that cannot go on, the whole gateway stops."""
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
                _log.error("a worker ended by itself", worker=number, error=str(failure))
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
        """Runs a worker to its end, and answers with its exit status: negative for a signal."""
        async with await Worker.start(number, self._flags) as worker:
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
                async for figures in worker.heard():
                    self._metrics.heard(number, figures)
                return await worker.ended()
            finally:
                del self._workers[number]
                self._metrics.ended(number)


class Worker:
    """One process, and the channel to it; an async context manager, which ends the process if it has not ended."""

    def __init__(self, process: Process, channel: WorkerChannel) -> None:
        self._process = process
        self._channel = channel
        self._collected: asyncio.Future[None] | None = None
        self.serving = False

    @classmethod
    async def start(cls, number: int, flags: dict[str, Value | None]) -> Self:
        """Starts a process. Raises `OSError` where the system does not let it."""
        ours, its = socket.socketpair()
        with its:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    # Modules come from where ours do, which the path below says, and not from the working directory.
                    "-P",
                    "-m",
                    "portus_gateway.workers.worker_process",
                    str(number),
                    str(its.fileno()),
                    pass_fds=[its.fileno()],
                    env=os.environ | {"PYTHONPATH": os.pathsep.join(place or os.getcwd() for place in sys.path)},
                    stdin=DEVNULL,
                )
            except BaseException:
                ours.close()
                raise
        worker = cls(process, await WorkerChannel.open(ours))
        await worker._channel.send(Serve(flags=flags))
        return worker

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kill()
        await self._process.wait()
        await self._channel.__aexit__(None, None, None)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait_until_it_serves(self) -> None:
        """Raises why it does not, `OSError` too if that is not known."""
        try:
            async with asyncio.timeout(_START):
                message = await self._channel.receive()
        except TimeoutError:
            raise OSError(f"a worker did not serve within {_START:g} s") from None
        match message:
            case Serving():
                self.serving = True
            case SettingsInvalid():
                raise InvalidSettings(Problem(name, description) for name, description in message.problems)
            case AccessFileInvalid():
                raise InvalidAccessFile(message.path, message.problems)
            case CannotServe():
                raise OSError(message.message)
            case _:
                raise OSError(f"a worker ended before it served, with status {await self.ended()}")

    async def heard(self) -> AsyncGenerator[Figures, None]:
        """The figures that it sends, until it ends."""
        try:
            while (message := await self._channel.receive()) is not None:
                if not isinstance(message, Figures):
                    raise ValueError(f"a worker that serves never says {message.kind!r}")
                yield message
                self._settle()
        finally:
            self.serving = False
            self._settle()

    async def collect(self) -> None:
        """Asks for figures, and waits until they were heard or take too long."""
        collected = self._collected
        if collected is None:
            collected = self._collected = asyncio.get_running_loop().create_future()
            await self._tell(Collect())
        await asyncio.wait([collected], timeout=_COLLECTION)

    async def drain(self) -> None:
        """Asks it to let running calls finish, and to end."""
        await self._tell(Drain())

    def kill(self) -> None:
        """Ends it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    def hang_up(self) -> None:
        """Has it read its files again, if it has read them already."""
        if self.serving:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGHUP)

    async def ended(self) -> int:
        """Its exit status, once its channel is closed. Killed where it does not end soon."""
        try:
            async with asyncio.timeout(_END):
                return await self._process.wait()
        except TimeoutError:
            self.kill()
            return await self._process.wait()

    async def _tell(self, message: Message) -> None:
        # A worker that does not read is found out by whoever waits for what it was told.
        with suppress(TimeoutError):
            async with asyncio.timeout(_COLLECTION):
                await self._channel.send(message)

    def _settle(self) -> None:
        if self._collected is not None and not self._collected.done():
            self._collected.set_result(None)
        self._collected = None
