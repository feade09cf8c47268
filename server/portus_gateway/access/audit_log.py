"""The audit log: each record is a line of JSON, and is on the disk before the caller gets its answer.

It may be a file, a pipe, or standard output. None of them can block the gateway: if a record cannot be written in time,
that is an error, and the delete is refused.
"""

import asyncio
import os
import select
import stat
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog

from portus_gateway.access.audit_record import ATOMIC_SIZE, Record, Value, lines_of
from portus_gateway.access.errors import InvalidAccessFile

__all__ = ["STANDARD_OUTPUT", "AuditLog", "Record", "Value"]

STANDARD_OUTPUT: Final = "-"
_STANDARD_OUTPUT_FILE: Final = 1
PATIENCE: Final = 5.0
"""Seconds within which a record has to be written."""
# How long the gateway waits for unfinished records when it ends, in seconds.
_LAST_WAIT: Final = 1.0

# How long another process may need to write a record into the file, in seconds. The kernel does not interrupt it.
_BEING_WRITTEN: Final = 0.01

_log = structlog.get_logger(__name__)


class AuditLog:
    """Appends to the file or pipe at `path`, or to standard output for `-`; a context manager.

    A file is created with mode 0600 and opened again for each record, so that it may be moved away at any time, as
    logrotate does. With `sync`, a record is on the disk when `write` returns. Several processes may share a file or a
    pipe. A record that is larger than what a pipe takes at once goes into it as several lines (`audit_record`).

    Entering raises `InvalidAccessFile` if the file cannot be written. A pipe that nobody reads yet is no such error.
    """

    def __init__(self, path: str, *, sync: bool = True, patience: float = PATIENCE) -> None:
        self._sink: _File | _StandardOutput = (
            _StandardOutput() if path == STANDARD_OUTPUT else _File(Path(path), sync=sync)
        )
        self._patience = patience
        self._writer = _Writer(self._sink)

    def __enter__(self) -> Self:
        self._sink.check()
        self._writer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.stop(_LAST_WAIT)

    async def write(self, record: Record) -> int:
        """Writes a record with the time, and returns how many bytes it took.

        Raises `OSError` if it could not be written in time. A write that has begun is completed, even if the caller is
        cancelled.
        """
        if self._writer.hangs_for(self._patience):
            raise TimeoutError("a record before this one is still being written")
        timed = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **record}
        entry = _Entry(timed, time.monotonic() + self._patience)
        entry.done = asyncio.get_running_loop().create_future()
        entry.loop = asyncio.get_running_loop()
        self._writer.put(entry)
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.shield(entry.done)
        except TimeoutError:
            # `shield`, because the writer may still set a result after the time limit.
            entry.done.cancel()
            raise TimeoutError(f"the record could not be written within {self._patience:g} s") from None


@dataclass(slots=True)
class _Entry:
    """A record that is to be written. `expires` is by `time.monotonic`."""

    record: Record
    expires: float
    done: "asyncio.Future[int]" = field(init=False)
    loop: asyncio.AbstractEventLoop = field(init=False)

    def finish(self, result: int | OSError) -> None:
        """Wakes the waiting call. Can be called from another thread, and when the loop has ended."""
        try:
            self.loop.call_soon_threadsafe(self._set, result)
        except RuntimeError:
            _log.error("the gateway ended before an audit record was written", record=self.record)

    def _set(self, result: int | OSError) -> None:
        if self.done.done():
            return
        if isinstance(result, OSError):
            self.done.set_exception(result)
        else:
            self.done.set_result(result)


class _Writer:
    """Writes entries in a separate thread, in the order of their arrival."""

    def __init__(self, sink: "_File | _StandardOutput") -> None:
        self._sink = sink
        self._changed = threading.Condition()
        self._entries: deque[_Entry] = deque()
        self._begun: float | None = None
        self._stopped = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        # A daemon, so that a write that hangs does not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def put(self, entry: _Entry) -> None:
        with self._changed:
            self._entries.append(entry)
            self._changed.notify_all()

    def hangs_for(self, seconds: float) -> bool:
        """Whether one write has taken so long, as on a network file system that is gone."""
        begun = self._begun
        return begun is not None and time.monotonic() - begun > seconds

    def stop(self, timeout: float) -> None:
        """Ends the thread once all is written, or after `timeout` seconds."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        is_unread = False
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._entries or self._stopped)
                if not self._entries:
                    break
                entry = self._entries.popleft()
            begun = time.monotonic()
            if begun >= entry.expires:
                # The call has failed with a time-out, so nothing was deleted. It must not be recorded later.
                continue
            self._begun = begun
            try:
                # If the last record had no reader, this one does not wait for one.
                result: int | OSError = self._sink.append(entry.record, begun if is_unread else entry.expires)
            except OSError as error:
                result = error
            is_unread = isinstance(result, TimeoutError)
            self._begun = None
            entry.finish(result)
        self._sink.close()


class _StandardOutput:
    """Standard output: a pipe, a file or a terminal."""

    def __init__(self) -> None:
        self._line_was_cut = False

    def check(self) -> None:
        """Checks nothing: only a write shows whether it works."""

    def append(self, record: Record, expires: float) -> int:
        """Writes the record until `expires`, and returns how many bytes that took. Raises `OSError`."""
        file = _STANDARD_OUTPUT_FILE
        is_file = stat.S_ISREG(os.fstat(file).st_mode)
        lines = lines_of(record, None if is_file else ATOMIC_SIZE)
        for line in lines:
            whole = b"\n" + line if self._line_was_cut else line
            self._line_was_cut = True
            _write(file, whole, expires)
            self._line_was_cut = False
        return sum(map(len, lines))

    def close(self) -> None:
        """Leaves standard output open."""


class _File:
    """A file, or a pipe with a name."""

    def __init__(self, path: Path, *, sync: bool) -> None:
        self._path = path
        self._sync = sync
        self._pipe: int | None = None

    def check(self) -> None:
        """Raises `InvalidAccessFile` if the file cannot be written."""
        try:
            os.close(self._opened())
        except OSError as error:
            if self._is_pipe():
                _log.warning("nobody reads the audit log yet. Deletes are refused until somebody does")
                return
            raise InvalidAccessFile(str(self._path), [f"cannot be written: {error.strerror}"]) from error

    def append(self, record: Record, expires: float) -> int:
        """Writes the record until `expires`, and returns how many bytes that took. Raises `OSError`."""
        if self._is_pipe():
            return self._append_to_pipe(record, expires)
        file = self._opened()
        try:
            is_file = stat.S_ISREG(os.fstat(file).st_mode)
            data = b"".join(lines_of(record, None if is_file else ATOMIC_SIZE))
            # A record that a full disk cut off, of any process, must stay on a separate line.
            _write(file, b"\n" + data if is_file and self._ends_in_a_cut_line(file) else data, expires)
            # Only a file is on a disk; a terminal, for example, is not.
            if self._sync and is_file:
                os.fsync(file)
            return len(data)
        finally:
            os.close(file)

    def close(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    def _append_to_pipe(self, record: Record, expires: float) -> int:
        # It stays open between records: when the last writer closes it, its reader sees the end.
        if self._pipe is not None and not os.path.samestat(os.fstat(self._pipe), self._path.stat()):
            self.close()
        if self._pipe is None:
            self._pipe = self._opened()
        lines = lines_of(record, ATOMIC_SIZE)
        for line in lines:
            _write(self._pipe, line, expires)
        return sum(map(len, lines))

    def _is_pipe(self) -> bool:
        try:
            return stat.S_ISFIFO(self._path.stat().st_mode)
        except OSError:
            return False

    def _opened(self) -> int:
        """Raises `OSError`, also for a pipe that nobody reads: it does not wait for a reader."""
        flags = os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            # Reading is needed to see whether the last line is complete.
            return os.open(self._path, (os.O_WRONLY if self._is_pipe() else os.O_RDWR) | flags, 0o600)
        except PermissionError:
            return os.open(self._path, os.O_WRONLY | flags, 0o600)

    @staticmethod
    def _ends_in_a_cut_line(file: int) -> bool:
        size = -1
        # A line that another process is writing looks like a cut one for a moment: a cut one does not grow.
        while (seen := os.fstat(file).st_size) != size:
            size = seen
            try:
                if not size or os.pread(file, 1, size - 1) == b"\n":
                    return False
            except OSError:
                # The file may be writable but not readable.
                return False
            time.sleep(_BEING_WRITTEN)
        return True


def _write(file: int, data: bytes, expires: float) -> None:
    """Writes all of `data`, waiting until `expires` for room in a pipe. Raises `OSError`."""
    while data:
        _wait_for_room(file, expires)
        try:
            written = os.write(file, data)
        except BlockingIOError:
            # There is room, but not for the whole line: a pipe takes it whole or not at all.
            time.sleep(0.01)
            if time.monotonic() >= expires:
                raise TimeoutError("nobody reads the audit log") from None
            continue
        data = data[written:]
        if data and stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError("only a part of the record could be written")


def _wait_for_room(file: int, expires: float) -> None:
    poll = select.poll()
    poll.register(file, select.POLLOUT)
    if not poll.poll(max(0.0, 1000 * (expires - time.monotonic()))):
        raise TimeoutError("nobody reads the audit log")
