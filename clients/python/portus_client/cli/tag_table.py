"""Tags with their details, one per line."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import click
from rich.console import Console
from rich.text import Text

from portus_client.cli import failures
from portus_client.cli.age import age, timestamp
from portus_client.cli.columns import LAST_MINIMUM, Columns
from portus_client.cli.terminal import printable, short_digest, size
from portus_client.tag import TagDetails

_NONE: Final = "-"
_UNKNOWN: Final = "?"
_GAP: Final = 2
_PLATFORMS_WIDTH: Final = len("linux/amd64, linux/arm64")
_NARROWEST_TAG: Final = 8


def write_lines(tags: Sequence[TagDetails]) -> None:
    """Writes for programs: tag, digest, date, size in bytes and platforms, with `-` for what is not stated.

    What could not be found out is `?`. The reason is the rest of the line.
    """
    width = max((len(printable(one.tag)) for one in tags), default=0)
    for one in tags:
        unknown = _NONE if one.error is None else _UNKNOWN
        fields = (
            f"{printable(one.tag):<{width}}",
            one.descriptor.digest if one.descriptor is not None else unknown,
            timestamp(one.created) if one.created is not None else unknown,
            str(one.total_size) if one.total_size is not None else unknown,
            ",".join(map(str, one.platforms)) or unknown,
            *([] if one.error is None else [failures.summary(one.error)]),
        )
        click.echo("  ".join(map(printable, fields)))


def show(tags: Sequence[TagDetails], console: Console) -> None:
    """Writes a table for people. On a narrow terminal, it has no digests, then no sizes, then no platforms."""
    now = datetime.now(UTC)
    columns = _columns(tags, console.width, now)
    header = [
        (f"{column.header:>{column.width}}" if column.right else column.header, column.width) for column in columns
    ]
    layout = Columns(header[:-1], columns[-1].header, console)
    _print(console, layout.header())
    for position, details in enumerate(tags):
        cells = [
            Text(f"{column.cells[position]:>{column.width}}" if column.right else column.cells[position], column.style)
            for column in columns
        ]
        if details.error is not None:
            reason = details.error.reason or details.error.code.name
            cells[-1] = Text(printable(f"{_UNKNOWN} {reason}"), "red")
        _print(console, layout.row(cells))


@dataclass(frozen=True, slots=True)
class _Column:
    header: str
    cells: Sequence[str]
    style: str = ""
    right: bool = False
    most: int | None = None
    """Maximum width. A cell that is longer is not cut: what follows it is on the next line."""

    @property
    def width(self) -> int:
        width = max(map(len, (self.header, *self.cells)))
        return width if self.most is None else min(width, self.most)


def _columns(tags: Sequence[TagDetails], width: int, now: datetime) -> list[_Column]:
    """The columns for a terminal of this width. The last one takes the rest of the line."""
    digests = [_NONE if one.descriptor is None else printable(one.descriptor.digest) for one in tags]
    name = _Column("Tag", [printable(one.tag) for one in tags], "bold")
    created = _Column("Created", [_NONE if one.created is None else age(one.created, now) for one in tags])
    sizes = _Column("Size", [_NONE if one.total_size is None else size(one.total_size) for one in tags], right=True)
    whole = _Column("Digest", digests, "dim")
    short = _Column("Digest", [short_digest(digest) for digest in digests], "dim")
    platforms = _Column("Platforms", [printable(", ".join(map(str, one.platforms)) or _NONE) for one in tags])
    for columns in ([name, created, sizes, whole], [name, created, sizes, short], [name, created, sizes]):
        if sum(column.width + _GAP for column in columns) + _PLATFORMS_WIDTH <= width:
            return [*columns, platforms]
    room = width - _GAP - created.width - _GAP - LAST_MINIMUM
    if room >= _NARROWEST_TAG:
        return [replace(name, most=room), created, platforms]
    return [replace(name, most=max(width - _GAP - LAST_MINIMUM, _NARROWEST_TAG)), created]


def _print(console: Console, text: Text) -> None:
    # The rows are already wrapped. The terminal wraps what is still too long, so that it is copied as one line.
    console.print(text, soft_wrap=True)
