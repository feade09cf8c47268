"""The last line of a terminal, which says how far things are while the lines above it grow."""

import sys
import threading
from collections.abc import Iterable, Iterator
from itertools import cycle
from time import monotonic
from types import TracebackType
from typing import Final, Self, TypeVar

from rich.console import Console
from rich.text import Text

from portus_client.cli.terminal import is_file

Item = TypeVar("Item")

_INTERVAL: Final = 0.1
_BAR_WIDTH: Final = 24
_ERASE: Final = "\r\x1b[K"


class StatusLine:
    """Counts items on the last line of `console`, which has to be a terminal, for as long as a `with` block runs.

    `what` are the items; `total` is how many there will be, where that is known.
    """

    def __init__(self, console: Console, what: str, total: int | None = None) -> None:
        self._console = console
        self._what = what
        self._total = total
        self._count = 0
        plain = console.options.ascii_only
        self._frames = cycle("|/-\\" if plain else "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
        self._done, self._open = "#-" if plain else "━─"
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        self._began = monotonic()
        # A dumb terminal cannot go back to the beginning of a line.
        if not self._console.is_dumb_terminal:
            self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ticker.is_alive():
            self._ended.set()
            self._ticker.join()
            self._write(_ERASE)

    def advance(self) -> None:
        """Counts one more item."""
        self._count += 1

    def above(self, text: Text) -> None:
        """Writes `text` and ends its line; the status stays below it."""
        with self._console.capture() as captured:
            self._console.print(text, soft_wrap=True)
        with self._lock:
            drawn = self._ticker.is_alive()
            self._write(f"{_ERASE}{captured.get()}{self._line()}" if drawn else captured.get())

    def _tick(self) -> None:
        try:
            while not self._ended.is_set():
                with self._lock:
                    self._write(f"{_ERASE}{self._line()}")
                self._ended.wait(_INTERVAL)
        except OSError:
            # The terminal went away: whoever writes the next row learns of it too, and can say so.
            return

    def _line(self) -> str:
        count = f"{self._count:,} {self._what}"
        if self._total is not None:
            done = _BAR_WIDTH * self._count // max(self._total, 1)
            bar = self._done * done + self._open * (_BAR_WIDTH - done)
            count = f"{bar} {self._count:,} of {self._total:,} {self._what}"
        minutes, seconds = divmod(int(monotonic() - self._began), 60)
        # The last column is left free: a terminal may go to the next line after it.
        return f"{next(self._frames)} {count}  {minutes}:{seconds:02}"[: self._console.width - 1]

    def _write(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()


def counted(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """`items`, with a count of them on standard error meanwhile, where that is a terminal and the output is a file.

    Output that is no file could be the same terminal, or a pipe to a pager on it.
    """
    if not sys.stderr.isatty() or not is_file(sys.stdout):
        yield from items
        return
    with StatusLine(Console(stderr=True), what, total) as status:
        for item in items:
            status.advance()
            yield item
