"""A file that appears under its name only when it is complete."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def output_file(path: Path) -> Iterator[BinaryIO]:
    """A block that writes `path`. If it fails, a file that was there before stays as it was.

    What is not a regular file, such as a device or a named pipe, is written directly. Raises `OSError`.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as stream:
            yield stream
        return
    # Through a symbolic link, the file that it points to is replaced.
    target = path.resolve()
    number, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(number, "wb") as stream:
            yield stream
        temporary.chmod(_mode_of(target))
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _mode_of(target: Path) -> int:
    """The permissions of the file, or those that a new file gets."""
    with suppress(OSError):
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
