"""Runs `portus-client` as a process, in a pipe or on a terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

COMMAND = (sys.executable, "-m", "portus_client")
PATIENCE = 30.0

_CONTROL_SEQUENCES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass(frozen=True, slots=True)
class Finished:
    """The result of a run."""

    status: int
    output: str
    errors: str


def environment(**variables: str) -> dict[str, str]:
    """The environment of a run, without variables that influence the command."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PORTUS_", "GRPC_", "PYTHON"))
        and name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")
    }
    return inherited | {"TERM": "xterm-256color"} | variables


def run(address: str | None, *arguments: str, **variables: str) -> Finished:
    """Runs the command with its output in pipes and with empty standard input."""
    return run_with_input(b"", address, *arguments, **variables)


def run_with_input(text: bytes, address: str | None, *arguments: str, **variables: str) -> Finished:
    """Runs the command with `text` on its standard input."""
    if address is not None:
        variables["PORTUS_GATEWAY_ADDRESS"] = address
    finished = subprocess.run(
        [*COMMAND, *arguments],
        env=environment(**variables),
        input=text,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return Finished(finished.returncode, finished.stdout.decode(), finished.stderr.decode())


def run_in_shell(line: str, address: str) -> Finished:
    """Runs a command line in bash, for redirections."""
    finished = subprocess.run(
        ["bash", "-c", line],
        env=environment(PORTUS_GATEWAY_ADDRESS=address),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Finished(finished.returncode, finished.stdout, finished.stderr)


@dataclass
class Terminal:
    """A terminal on which the command runs. Standard output and standard error go there."""

    address: str
    arguments: Sequence[str]
    variables: dict[str, str] = field(default_factory=dict)
    output_file: Path | None = None
    shown: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self._ours, theirs = pty.openpty()
        self._output = theirs if self.output_file is None else os.open(self.output_file, os.O_WRONLY | os.O_CREAT)
        self._process = subprocess.Popen(
            [*COMMAND, *self.arguments],
            env=environment(PORTUS_GATEWAY_ADDRESS=self.address, **{"COLUMNS": "120", **self.variables}),
            stdin=theirs,
            stdout=self._output,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        if self.output_file is not None:
            os.close(self._output)

    @property
    def text(self) -> str:
        """The output without control sequences."""
        return _CONTROL_SEQUENCES.sub("", self.shown).replace("\r\n", "\n")

    def wait_for(self, text: str) -> None:
        """Waits until `text` is shown."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.text:
            assert self._read(deadline), f"the command ended before it showed {text!r}: {self.text}"

    def type(self, text: str) -> None:
        """Types `text` on the terminal."""
        os.write(self._ours, text.encode())

    def interrupt(self) -> None:
        """Sends SIGINT, as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def interrupt_the_question(self) -> None:
        """Presses Ctrl-C until the command ends, as a person would.

        A signal in the microseconds before a read() does not end the read, and the test is fast enough to hit them.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self.interrupt()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(2)
                return

    def end(self) -> int:
        """Waits for the end and returns the exit status."""
        deadline = time.monotonic() + PATIENCE
        try:
            while self._read(deadline):
                pass
            return self._process.wait(PATIENCE)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            os.close(self._ours)

    def _read(self, deadline: float) -> bool:
        readable, _, _ = select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))
        assert readable, f"the command writes nothing more: {self.text}"
        try:
            received = os.read(self._ours, 65536)
        except OSError:
            # Linux: the other end of the terminal is closed.
            return False
        self.shown += received.decode(errors="replace")
        return bool(received)
