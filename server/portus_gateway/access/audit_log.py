"""The audit log: a line of JSON for each thing that happened, on its way to the disk before anybody is told."""

import asyncio
import json
import os
import stat
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from portus_gateway.access.errors import InvalidAccessFile

STANDARD_OUTPUT: Final = "-"

Value = str | int | bool | list[str] | None
Record = Mapping[str, Value]


class AuditLog:
    """Appends to the file at `path` (made with mode 0600), or to standard output for `-`; a context manager.

    With `sync`, a record is on the disk when `write` returns. The file is opened anew for each record: it may be moved
    away at any time, as logrotate does. A record is one write, so that several processes may share a file. Entering
    raises `InvalidAccessFile` where the file cannot be written.
    """

    def __init__(self, path: str, *, sync: bool = True) -> None:
        self._path = None if path == STANDARD_OUTPUT else Path(path)
        self._sync = sync
        self._torn = False
        # One thread: records stand in the order in which they were written.
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="audit")

    def __enter__(self) -> Self:
        if self._path is not None:
            try:
                os.close(self._open(self._path))
            except OSError as error:
                raise InvalidAccessFile(str(self._path), [f"cannot be written: {error.strerror}"]) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.shutdown()

    async def write(self, record: Record) -> None:
        """Writes a record, and the time. Raises `OSError` where it could not be written.

        Once begun it is written, even when whoever waits for it is cancelled.
        """
        timed = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **record}
        line = json.dumps(timed, separators=(",", ":")).encode() + b"\n"
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._writer, self._append, line))

    def _append(self, line: bytes) -> None:
        if self._path is None:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            return
        file = self._open(self._path)
        try:
            # What a full disk cut off stays a line of its own.
            whole = b"\n" + line if self._torn else line
            written = os.write(file, whole)
            self._torn = written < len(whole)
            if self._torn:
                raise OSError("only a part of the record could be written")
            # A pipe or a terminal has no disk to be on.
            if self._sync and stat.S_ISREG(os.fstat(file).st_mode):
                os.fsync(file)
        finally:
            os.close(file)

    @staticmethod
    def _open(path: Path) -> int:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
