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
from portus_gateway.telemetry import logs
from portus_gateway.telemetry.gateway_health import GatewayHealth
from portus_gateway.telemetry.metrics import Metrics
from portus_gateway.workers.channel import (
    AccessFileInvalid,
    CannotServe,
    Collect,
    Drain,
    Health,
    Message,
    Ping,
    Pong,
    Serve,
    Serving,
    SettingsInvalid,
    WorkerChannel,
)


def main() -> None:
    # A SIGHUP reaches this process too when the terminal ends. Until files are watched, it is ignored.
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
                logs.configure(loaded.log_format, loaded.log_level, worker=number)
                gateway = await stack.enter_async_context(
                    app.running(
                        loaded,
                        as_worker=True,
                        page_token_secret=bytes.fromhex(order.page_token_secret),
                        keeps_index=order.keeps_index,
                    )
                )
            except (InvalidSettings, InvalidAccessFile, OSError) as error:
                await channel.send(_failure(error))
                raise SystemExit(1) from None
            process.exclude_from_garbage_collection()
            await channel.send(Serving())
            following = asyncio.create_task(_follow(channel, gateway.metrics, stop))
            telling = asyncio.create_task(_tell_health(channel, gateway.health))
            await stop.wait()
        await channel.send(gateway.metrics.figures())
        following.cancel()
        telling.cancel()
        await asyncio.wait([following, telling])
        if not following.cancelled():
            following.result()


async def _follow(channel: WorkerChannel, metrics: Metrics, stop: asyncio.Event) -> None:
    """Does what the messages say, until the channel ends: the process that started this one has ended then."""
    try:
        while (message := await channel.receive()) is not None:
            match message:
                case Ping():
                    await channel.send(Pong())
                case Collect():
                    await channel.send(metrics.figures())
                case Drain():
                    stop.set()
                case _:
                    raise ValueError(f"a worker is never sent {message.kind!r}")
    finally:
        stop.set()


async def _tell_health(channel: WorkerChannel, health: GatewayHealth) -> None:
    async for problems in health.changes():
        await channel.send(Health(problems=problems))


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
