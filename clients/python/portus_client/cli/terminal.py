"""Texts for people: on the terminal, and on standard error."""

import os
import stat
import sys
from pathlib import Path
from typing import Final, TextIO

import click
from rich.console import Console

from portus_client.cli.exit_codes import ExitCode

PROGRAM: Final = "portus-client"
# Lengths in characters.
DIGEST: Final = len("sha256:") + 64
_SHORT: Final = len("sha256:") + 12
_ELLIPSIS: Final = "..."
SHORT_DIGEST: Final = _SHORT + len(_ELLIPSIS)


def printable(text: str) -> str:
    """`text` with control characters escaped. Names and messages come from others and could control the terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "backslashreplace").decode()
        for character in text
    )


def printable_lines(text: str) -> str:
    """`text`, which may have several lines, with all other control characters escaped."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def size(count: int | None) -> str:
    """A number of bytes for people: `1.2 MB`. Uses powers of ten, as registries and `docker images` do."""
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
    """The beginning of a digest, and an ellipsis that shows that it is cut."""
    return digest if len(digest) <= SHORT_DIGEST else f"{digest[:_SHORT]}{_ELLIPSIS}"


def console() -> Console:
    """Standard output as a terminal. Everything is written as plain text, without markup."""
    return Console(markup=False, emoji=False, highlight=False)


def print_error(line: str) -> None:
    """Writes one line to standard error, after the program's name."""
    click.echo(f"{PROGRAM}: {printable(line)}", err=True)


def output_failed(error: OSError) -> ExitCode:
    """Reports that the output cannot be written. Says nothing if its reader has closed the pipe."""
    # Python flushes the rest of the buffer at exit. That must not fail again.
    with Path(os.devnull).open("w") as null:
        os.dup2(null.fileno(), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return ExitCode.BROKEN_PIPE
    print_error(f"cannot write the output: {error.strerror or error}")
    return ExitCode.FAILED


def is_file(stream: TextIO) -> bool:
    """Whether `stream` is a regular file."""
    return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
