"""Writes log lines in a thread of its own: a log that nobody reads must not stop what is logged about."""

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TextIO

MOST_BYTES: Final = 4 * 1024 * 1024


class LogWriter:
    """Writes each line at once to `stream`, so that lines of several processes do not mix (up to 4 KiB on a pipe).

    Up to `most_bytes` wait while the stream takes nothing, as a pipe that nobody reads does. Further lines are dropped
    and counted. `tell_dropped` is called with their number, in the writer's thread, when the stream takes lines again.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        most_bytes: int = MOST_BYTES,
        tell_dropped: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._stream = stream
        self._most_bytes = most_bytes
        self._tell_dropped = tell_dropped
        self._changed = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._dropped = 0
        self._dropped_in_all = 0
        # A daemon, so that a write that hangs does not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many lines were dropped so far."""
        return self._dropped_in_all

    def put(self, line: str) -> None:
        """Takes a line, without its end. Never waits for the stream."""
        data = line.encode(errors="backslashreplace") + b"\n"
        with self._changed:
            if self._size + len(data) > self._most_bytes:
                self._dropped += 1
                self._dropped_in_all += 1
                return
            self._lines.append(data)
            self._size += len(data)
            self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Waits until all lines are written, for `timeout` seconds at most. Returns whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._size, timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
                line = self._lines.popleft()
            # The stream is closed or the disk is full, and there is nowhere else to report it.
            with suppress(OSError, ValueError):
                self._write(line)
            with self._changed:
                self._size -= len(line)
                dropped, self._dropped = (self._dropped, 0) if not self._lines else (0, self._dropped)
                self._changed.notify_all()
            if dropped:
                self._tell_dropped(dropped)

    def _write(self, line: bytes) -> None:
        try:
            file = self._stream.fileno()
        except (OSError, AttributeError, ValueError):
            self._stream.write(line.decode(errors="replace"))
            return
        # Not by the stream itself: it holds a lock while it waits.
        while line:
            line = line[os.write(file, line) :]
