"""Tables whose rows are written as they come, so that no column can wait for its widest cell."""

import textwrap
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.text import Text

from portus_client.cli.status_line import StatusLine

_GAP: Final = "  "
# The last column gets at least this, or a narrow terminal would show one letter a line.
_LEAST_WIDTH: Final = 20


class Rows:
    """A table on `console` with a status line below it, for as long as a `with` block runs.

    `columns` are the headers and widths of all columns but the last, whose header is `last`, and which takes the rest
    of the line and wraps. `what` are the rows, and `total` is how many there will be, where that is known.
    """

    def __init__(
        self,
        console: Console,
        columns: Sequence[tuple[str, int]],
        last: str,
        *,
        what: str,
        total: int | None = None,
    ) -> None:
        self._status = StatusLine(console, what, total)
        self._headers = [Text(header, style="bold") for header in (*(header for header, _ in columns), last)]
        self._widths = [width for _, width in columns]
        self._width = max(console.width, sum(self._widths) + len(_GAP) * len(self._widths) + _LEAST_WIDTH)
        self._begun = False

    def __enter__(self) -> Self:
        self._status.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._status.__exit__(kind, error, traceback)

    def add(self, *cells: Text) -> None:
        """Writes a row; the first one below the headers."""
        if not self._begun:
            self._begun = True
            rule = Text("─" * self._width, style="dim")
            self._status.above(Text("\n").join([self._row(self._headers), rule]))
        self._status.advance()
        self._status.above(self._row(cells))

    def _row(self, cells: Sequence[Text]) -> Text:
        row = Text()
        start = 0
        for cell, width in zip(cells, self._widths, strict=False):
            start += width + len(_GAP)
            row.append_text(cell)
            # What is too long for its column stays whole, so that it can be copied; the next cell begins below it.
            below = cell.cell_len > width
            row.append("\n" + " " * start if below else " " * (width - cell.cell_len) + _GAP)
        last = cells[-1]
        lines = textwrap.wrap(last.plain, self._width - start, break_on_hyphens=False)
        row.append(("\n" + " " * start).join(lines), style=last.style)
        row.rstrip()
        return row
