"""One worker process, as the process that started it sees it."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final, Self

from portus_gateway.access.errors import InvalidAccessFile
from portus_gateway.settings import InvalidSettings, Problem, Value
from portus_gateway.telemetry.figures import Figures
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

# All in seconds. For a worker to load, and to fetch the keys of an issuer.
_START: Final = 60.0
# For the figures of a worker. Where it takes longer, those before are shown.
_COLLECTION: Final = 2.0
END: Final = 5.0
"""For a worker to end after the grace, or after its last message, before it is killed."""


class Worker:
    """One process and the channel to it. An async context manager, which kills a process that has not ended."""

    def __init__(self, process: Process, channel: WorkerChannel) -> None:
        self._process = process
        self._channel = channel
        self._collected: asyncio.Future[None] | None = None
        self._answered = asyncio.Event()
        self.serving = False
        self.problems: tuple[str, ...] = ("a worker has just started",)
        """What prevents it from serving its callers."""

    @classmethod
    async def start(cls, number: int, flags: dict[str, Value | None], page_token_secret: bytes) -> Self:
        """Starts a process. Raises `OSError` if the system refuses."""
        ours, its = socket.socketpair()
        with its:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    # Modules are found where this process finds its own, not in the working directory.
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
        await worker._channel.send(
            Serve(flags=flags, page_token_secret=page_token_secret.hex(), keeps_index=number == 1)
        )
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
        """Raises the reason why it does not serve, or `OSError` where none is known."""
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

    async def figures(self) -> AsyncGenerator[Figures, None]:
        """The figures that it sends, until it ends. Its other messages are read here too."""
        try:
            while (message := await self._channel.receive()) is not None:
                match message:
                    case Pong():
                        self._answered.set()
                    case Health():
                        self.problems = message.problems
                    case Figures():
                        yield message
                        self._end_collection()
                    case _:
                        raise ValueError(f"a worker that serves never sends {message.kind!r}")
        finally:
            self.serving = False
            self._end_collection()

    async def answers(self, patience: float) -> bool:
        """Whether it answers a ping within `patience` seconds. `figures` has to be read meanwhile."""
        self._answered.clear()
        await self._send(Ping())
        try:
            async with asyncio.timeout(patience):
                await self._answered.wait()
        except TimeoutError:
            return False
        return True

    async def collect(self) -> None:
        """Asks for figures, and waits for them, up to a limit."""
        collected = self._collected
        if collected is None:
            collected = self._collected = asyncio.get_running_loop().create_future()
            await self._send(Collect())
        await asyncio.wait([collected], timeout=_COLLECTION)

    async def drain(self) -> None:
        """Asks it to let running calls finish, and to end."""
        await self._send(Drain())

    def kill(self) -> None:
        """Ends it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    def hang_up(self) -> None:
        """Makes it load its files again, if it has loaded them already."""
        if self.serving:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGHUP)

    async def ended(self) -> int:
        """Its exit status, once its channel is closed. A process that does not end soon is killed."""
        try:
            async with asyncio.timeout(END):
                return await self._process.wait()
        except TimeoutError:
            self.kill()
            return await self._process.wait()

    async def _send(self, message: Message) -> None:
        # `answers` finds a worker that does not read.
        with suppress(TimeoutError):
            async with asyncio.timeout(_COLLECTION):
                await self._channel.send(message)

    def _end_collection(self) -> None:
        if self._collected is not None and not self._collected.done():
            self._collected.set_result(None)
        self._collected = None
