"""Tables whose rows are written as they come, above a line that says how far things are."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

from portus_client.cli.columns import Columns
from portus_client.cli.status_line import StatusLine


class Rows:
    """A table on `console` that grows for as long as a `with` block runs.

    `what` are the rows, and `total` is how many there will be, where that is known.
    """

    def __init__(self, console: Console, columns: Columns, what: str, total: int | None = None) -> None:
        self._columns = columns
        self._status = StatusLine(console, what, total)
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
        row = self._columns.row(cells)
        self._status.advance()
        self._status.above(row if self._begun else Text("\n").join([self._columns.header(), row]))
        self._begun = True
