"""What is particular to writing for people: the terminal, and what may reach it."""

import os
import stat
import sys
from pathlib import Path
from typing import Final, TextIO

import click
from rich.console import Console

from portus_client.cli.exit_codes import ExitCode

PROGRAM: Final = "portus-client"
# How many characters they have.
DIGEST: Final = len("sha256:") + 64
SHORT_DIGEST: Final = len("sha256:") + 12


def printable(text: str) -> str:
    """`text` without what could steer a terminal. Names and messages come from other programs, and from who pushed."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "backslashreplace").decode()
        for character in text
    )


def size(count: int | None) -> str:
    """A number of bytes, as people read it: `1.2 MB`. In powers of ten, as registries and `docker images` show them."""
    if count is None:
        return "unknown"
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"


def short_digest(digest: str) -> str:
    """The first part of a digest, by which people know it."""
    return digest[:SHORT_DIGEST]


def console() -> Console:
    """Standard output, where it is a terminal. What is written to it is text, never markup."""
    return Console(markup=False, emoji=False, highlight=False)


def complain(line: str) -> None:
    """Writes one line to standard error, with the program's name before it."""
    click.echo(f"{PROGRAM}: {printable(line)}", err=True)


def output_failed(error: OSError) -> ExitCode:
    """Ends with output that cannot be written; quietly, where its reader went away."""
    # What is still in the buffer is written when Python ends, and would fail then once more.
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return ExitCode.BROKEN_PIPE
    complain(f"cannot write the output: {error.strerror or error}")
    return ExitCode.FAILED


def is_file(stream: TextIO) -> bool:
    """Whether what is written to `stream` goes to a file."""
    return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
