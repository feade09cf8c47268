"""Starts programs by `subprocess`, in a thread where it has to wait.

uvloop's own way runs Python code in the child between fork and exec. In a process that uses gRPC, such a child was seen
to hang.
"""

import asyncio
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO


async def finished(
    command: Sequence[str], given: bytes | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Runs `command` in `folder` to its end, with `given` as its standard input. The result has output and errors."""
    return await asyncio.to_thread(subprocess.run, command, input=given, capture_output=True, check=False, cwd=folder)


async def begun(
    command: Sequence[str],
    output: IO[bytes] | int,
    errors: IO[bytes] | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts `command`. The caller ends it."""
    return await asyncio.to_thread(subprocess.Popen, command, bufsize=0, stdout=output, stderr=errors, env=environment)


async def end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Asks `process` to terminate, and kills it after `seconds`."""
    process.terminate()
    try:
        await asyncio.to_thread(process.wait, seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        await asyncio.to_thread(process.wait)
