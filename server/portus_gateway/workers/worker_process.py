"""One worker process. `team` starts it as `python -m portus_gateway.workers.worker_process <number> <channel>`.

`<channel>` is the file descriptor of its end of the channel.
"""

import asyncio
import signal
import socket
import sys
from contextlib import AsyncExitStack

from portus_gateway import app, process, settings
from portus_gateway.access.errors import InvalidAccessFile
from portus_gateway.settings import InvalidSettings
from portus_gateway.telemetry import logs, worker_logs
from portus_gateway.telemetry.metrics import Metrics
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


def main() -> None:
    # Until access control listens to it: as a terminal's end it would reach this process as well.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    process.run(_work(int(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))))


async def _work(number: int, end: socket.socket) -> None:
    async with await WorkerChannel.open(end) as channel, process.stop_signal() as stop:
        order = await channel.receive()
        if not isinstance(order, Serve):
            return
        async with AsyncExitStack() as stack:
            try:
                loaded = settings.load(order.flags)
                logs.configure(loaded.log_format, loaded.log_level)
                worker_logs.share(number)
                gateway = await stack.enter_async_context(app.running(loaded, as_worker=True))
            except (InvalidSettings, InvalidAccessFile, OSError) as error:
                await channel.send(_failure(error))
                raise SystemExit(1) from None
            process.settle()
            await channel.send(Serving())
            obeying = asyncio.create_task(_obey(channel, gateway.metrics, stop))
            await stop.wait()
        await channel.send(gateway.metrics.figures())
        obeying.cancel()
        await asyncio.wait([obeying])
        if not obeying.cancelled():
            obeying.result()


async def _obey(channel: WorkerChannel, metrics: Metrics, stop: asyncio.Event) -> None:
    """Until the channel ends, which is when its other side has: then there is nobody left to serve for."""
    try:
        while (message := await channel.receive()) is not None:
            match message:
                case Collect():
                    await channel.send(metrics.figures())
                case Drain():
                    stop.set()
                case _:
                    raise ValueError(f"a worker is never told {message.kind!r}")
    finally:
        stop.set()


def _failure(error: InvalidSettings | InvalidAccessFile | OSError) -> Message:
    match error:
        case InvalidSettings():
            return SettingsInvalid(problems=[(problem.name, problem.description) for problem in error.problems])
        case InvalidAccessFile():
            return AccessFileInvalid(path=error.path, problems=list(error.problems))
        case _:
            return CannotServe(message=str(error))


if __name__ == "__main__":
    main()
