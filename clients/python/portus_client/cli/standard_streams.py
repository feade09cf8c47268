"""Standard input, output and error that the caller has closed: `portus-client … >&-`."""

import os
import sys


def ensure_open() -> None:
    """Replaces each closed stream, so that it behaves like a file.

    Python sets the stream to None, and the next file or socket that is opened would get its number. Input is then
    empty, messages to standard error are dropped, and writing to standard output fails.
    """
    if sys.stdin is None:
        _open_null(0, os.O_RDONLY)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 -- open until the process ends
    if sys.stdout is None:
        # Reading only: a write fails as it does on a closed file. Output that is lost is an error.
        _open_null(1, os.O_RDONLY)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        _open_null(2, os.O_WRONLY)
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def _open_null(number: int, flags: int) -> None:
    opened = os.open(os.devnull, flags)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
    os.set_inheritable(number, True)
