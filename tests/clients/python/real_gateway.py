"""`portus-gateway dev` as a process, on free ports."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import IO

from tests.clients.python.command_line import PATIENCE, environment


@contextmanager
def real_gateway(*arguments: str) -> Iterator[str]:
    """Runs `portus-gateway dev` as long as the block runs. Gives its address."""
    with subprocess.Popen(
        [sys.executable, "-m", "portus_gateway", "dev", "--listen", "127.0.0.1:0", *arguments],
        env=environment(PORTUS_LOG_FORMAT="json"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            yield _listening(process.stderr)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _listening(log: IO[str]) -> str:
    read = []
    for line in log:
        read.append(line)
        if '"listening"' in line:
            # Without a reader, the process would block when the pipe is full.
            Thread(target=log.read, daemon=True).start()
            return str(json.loads(line)["address"])
    raise AssertionError("the gateway ended before it listened:\n" + "".join(read))
