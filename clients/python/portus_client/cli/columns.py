"""The layout of a table's rows on a terminal. Each row is laid out by itself, so it need not wait for the others."""

import textwrap
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

_GAP: Final = "  "
# Minimum width of the last column. Without it, a narrow terminal would show one word per line.
LAST_MINIMUM: Final = 20


class Columns:
    """Columns of fixed widths with their headers. The last column takes the rest of the line and wraps.

    Widths are in characters.
    """

    def __init__(self, columns: Sequence[tuple[str, int]], last: str, console: Console) -> None:
        self._headers = [Text(header, style="bold") for header in (*(header for header, _ in columns), last)]
        self._widths = [width for _, width in columns]
        self._width = max(console.width, sum(self._widths) + len(_GAP) * len(self._widths) + LAST_MINIMUM)
        self._rule = ("-" if console.options.ascii_only else "─") * console.width

    def header(self) -> Text:
        """The headers, and a rule below them."""
        return Text("\n").join([self.row(self._headers), Text(self._rule, style="dim")])

    def row(self, cells: Sequence[Text]) -> Text:
        """One row. If there are fewer cells than columns, the last cell takes the rest of the line."""
        row = Text()
        start = 0
        for cell, width in zip(cells[:-1], self._widths, strict=False):
            start += width + len(_GAP)
            row.append_text(cell)
            # A cell that is too long is not cut, so that it can be copied. The next cell is then on the next line.
            too_long = cell.cell_len > width
            row.append("\n" + " " * start if too_long else " " * (width - cell.cell_len) + _GAP)
        last = cells[-1]
        lines = textwrap.wrap(last.plain, self._width - start, break_long_words=False, break_on_hyphens=False)
        row.append(("\n" + " " * start).join(lines), style=last.style)
        row.rstrip()
        return row
