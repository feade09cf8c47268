"""The real process: `portus-gateway`, started as a user starts it, on free ports."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

START = 30.0
END = 30.0


@dataclass
class GatewayProcess:
    """A running gateway, and the log that it has written so far."""

    process: Process
    address: str = ""
    metrics: str = ""
    mtls: str = ""
    log: list[str] = field(default_factory=list)
    output: bytes = b""
    _grown: asyncio.Event = field(default_factory=asyncio.Event)

    async def event(self, name: str) -> dict[str, object]:
        """The next log line of this event, from now or before. Fails when the process ends without it."""
        seen = 0
        while True:
            for line in self.log[seen:]:
                record = json.loads(line)
                if record["event"] == name:
                    return dict(record)
            seen = len(self.log)
            if self._ended:
                raise AssertionError(f"no {name!r} in the log:\n" + "\n".join(self.log))
            self._grown.clear()
            await self._grown.wait()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """The exit status, once the process has ended."""
        return await asyncio.wait_for(self.process.wait(), END)

    async def read_log(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.log.append(line.decode().rstrip("\n"))
            self._grown.set()
        self._ended = True
        self._grown.set()

    async def read_output(self) -> None:
        if self.process.stdout is not None:
            self.output = await self.process.stdout.read()

    def __post_init__(self) -> None:
        self._ended = False


def clean_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """This environment without any setting of ours or of OpenTelemetry, and `variables`."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PORTUS_", "OTEL_"))} | dict(
        variables
    )


@asynccontextmanager
async def gateway_process(command: str, *arguments: str, **variables: str) -> AsyncGenerator[GatewayProcess, None]:
    """Runs `portus-gateway <command>` until it listens; ends it after the block, if it has not ended itself."""
    async with gateway_process_into(PIPE, command, *arguments, **variables) as gateway:
        yield gateway


@asynccontextmanager
async def gateway_process_into(
    output: int,
    command: str,
    *arguments: str,
    module: str = "portus_gateway",
    wrapper: Sequence[str] = (),
    **variables: str,
) -> AsyncGenerator[GatewayProcess, None]:
    """The same, with the file `output` as its standard output. `module` is what Python runs, within `wrapper`."""
    process = await asyncio.create_subprocess_exec(
        *wrapper,
        sys.executable,
        "-m",
        module,
        command,
        *arguments,
        env=clean_environment({"PORTUS_LISTEN": "127.0.0.1:0", "PORTUS_LOG_FORMAT": "json", **variables}),
        stdout=output,
        stderr=PIPE,
    )
    gateway = GatewayProcess(process)
    readers = [asyncio.create_task(gateway.read_log()), asyncio.create_task(gateway.read_output())]
    try:
        listening = await asyncio.wait_for(gateway.event("listening"), START)
        gateway.address = str(listening["address"])
        gateway.metrics = str(listening.get("metrics", ""))
        gateway.mtls = str(listening.get("mtls", ""))
        yield gateway
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await asyncio.gather(*readers)


async def outcome(command: str, *arguments: str, **variables: str) -> tuple[int, str, str]:
    """Runs `portus-gateway <command>` to its end: exit status, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "portus_gateway",
        command,
        *arguments,
        env=clean_environment(variables),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), START)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()
