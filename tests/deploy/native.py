"""Services of the example as processes of this machine: as compose.yaml says, but for addresses and paths."""

import asyncio
import os
import re
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

_PATIENCE_SECONDS = 30.0


def translated(text: str, changes: Mapping[str, str]) -> str:
    """The text with every key of `changes` replaced, the longest first."""
    for old in sorted(changes, key=len, reverse=True):
        text = text.replace(old, changes[old])
    return text


@asynccontextmanager
async def running(command: Sequence[str], variables: Mapping[str, str], ready: str) -> AsyncGenerator[str, None]:
    """Runs a service for the block, which begins once standard error matches `ready`; yields that match's group."""
    process = await asyncio.create_subprocess_exec(*command, env=_environment(variables), stderr=PIPE)
    log: list[str] = []
    found: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    reader = asyncio.create_task(_read(process, re.compile(ready), log, found))
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            said = await found
        yield said
    except Exception as error:
        error.add_note(f"{command[0]} wrote:\n" + "".join(log))
        raise
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await reader


async def run(command: Sequence[str], variables: Mapping[str, str]) -> str:
    """Runs a command to its end, which has to be a good one; answers with what it wrote."""
    process = await asyncio.create_subprocess_exec(*command, env=_environment(variables), stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{command[0]} ended with {process.returncode}:\n{errors.decode()}"
    return output.decode()


async def _read(process: Process, ready: re.Pattern[str], log: list[str], found: "asyncio.Future[str]") -> None:
    assert process.stderr is not None
    async for line in process.stderr:
        log.append(line.decode(errors="replace"))
        said = ready.search(log[-1])
        if said is not None and not found.done():
            found.set_result(said.group(1))
    if not found.done():
        found.set_exception(AssertionError(f"it ended before it wrote {ready.pattern!r}"))


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """This environment without any setting of ours or of the registry's, and `variables`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PORTUS_", "REGISTRY_"))}
    return kept | dict(variables)
