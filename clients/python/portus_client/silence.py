"""Ends a call of the client for threads that has been silent for too long."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self


class SilenceGuard:
    """Calls `end` from a thread of its own if a wait for a message takes longer than `limit` seconds.

    The thread lives as long as the `with` block.
    """

    def __init__(self, end: Callable[[], object], limit: float) -> None:
        self._end = end
        self._limit = limit
        self._waiting_since: float | None = None
        self._over = threading.Event()
        # A program can end while somebody still holds a watch.
        self._thread = threading.Thread(target=self._run, name="portus-client watch", daemon=True)
        self.has_ended = False
        """Whether it has ended the call."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def begins(self) -> None:
        """A wait for a message begins."""
        self._waiting_since = time.monotonic()

    def received(self) -> None:
        """The message has come. How long the caller works on it does not count."""
        self._waiting_since = None

    def _run(self) -> None:
        left = self._limit
        while not self._over.wait(left):
            since = self._waiting_since
            left = self._limit if since is None else since + self._limit - time.monotonic()
            if left <= 0:
                self.has_ended = True
                self._end()
                return
