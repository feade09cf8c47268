"""The last line of the terminal, which shows progress: a spinner, a count, and the elapsed time."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn

from portus_client.cli.terminal import is_file

Item = TypeVar("Item")


def progress_line(console: Console, what: str, total: int | None, *, auto_refresh: bool) -> Progress:
    """A progress line on `console` with one task, which counts `what`. `total` is their number, if it is known.

    On a terminal that cannot move its cursor, and where `console` is no terminal, it draws nothing.
    """
    spinner = SpinnerColumn("line" if console.options.ascii_only else "dots")
    columns: list[ProgressColumn]
    if total is None:
        columns = [spinner, _text("{task.completed:,} {task.description}")]
    else:
        columns = [spinner, BarColumn(bar_width=24), _text("{task.completed:,} of {task.total:,} {task.description}")]
    progress = Progress(
        *columns,
        TimeElapsedColumn(),
        console=console,
        auto_refresh=auto_refresh,
        transient=True,
        # The output goes to a file or below this line by our own writes. rich must not redirect it.
        redirect_stdout=False,
        redirect_stderr=False,
    )
    progress.add_task(what, total=total)
    return progress


def counted(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Yields `items`. If the output goes to a file, a progress line on standard error counts them.

    If the output is not a file, there is no progress line: a pipe can end in a pager on the same terminal.
    """
    if not sys.stderr.isatty() or not is_file(sys.stdout):
        yield from items
        return
    with progress_line(Console(stderr=True), what, total, auto_refresh=True) as progress:
        (task,) = progress.task_ids
        for item in items:
            progress.advance(task)
            yield item


def _text(text_format: str) -> TextColumn:
    return TextColumn(text_format, markup=False)
