"""Tags with their details, one per line."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import click
from rich.console import Console
from rich.text import Text

from portus_client.cli import failures
from portus_client.cli.age import age, timestamp
from portus_client.cli.columns import Columns
from portus_client.cli.terminal import DIGEST, SHORT_DIGEST, printable, short_digest, size
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
    """Writes a table for people. A narrow terminal gets no digests, and then no sizes."""
    now = datetime.now(UTC)
    ages = [_NONE if one.created is None else age(one.created, now) for one in tags]
    sizes = [_NONE if one.total_size is None else size(one.total_size) for one in tags]
    names = [printable(one.tag) for one in tags]
    age_width = max(map(len, ("Created", *ages)))
    size_width = max(map(len, ("Size", *sizes)))
    name_width = max(map(len, ("Tag", *names)))
    room = console.width - (name_width + age_width + _PLATFORMS_WIDTH + 2 * _GAP)
    with_size = room >= size_width + _GAP
    digest_width = _digest_width(room - size_width - 2 * _GAP if with_size else 0)
    if room < 0:
        name_width = max(_NARROWEST_TAG, name_width + room)
    header = [("Tag", name_width), ("Created", age_width)]
    if with_size:
        header.append((f"{'Size':>{size_width}}", size_width))
    if digest_width:
        header.append(("Digest", digest_width))
    columns = Columns(header, "Platforms", console)
    _print(console, columns.header())
    for one, name, created, amount in zip(tags, names, ages, sizes, strict=True):
        cells = [Text(name, style="bold"), Text(created)]
        if with_size:
            cells.append(Text(f"{amount:>{size_width}}"))
        if digest_width:
            digest = _NONE if one.descriptor is None else one.descriptor.digest
            cells.append(Text(printable(digest if digest_width == DIGEST else short_digest(digest)), style="dim"))
        _print(console, columns.row([*cells, _last(one)]))


def _digest_width(room: int) -> int:
    """The width of the digests. Whole ones where there is much room, none where there is too little."""
    return DIGEST if room >= DIGEST else SHORT_DIGEST if room >= SHORT_DIGEST else 0


def _last(details: TagDetails) -> Text:
    if details.error is not None:
        return Text(printable(f"{_UNKNOWN} {failures.summary(details.error)}"), style="red")
    return Text(printable(", ".join(map(str, details.platforms)) or _NONE))


def _print(console: Console, text: Text) -> None:
    # The rows are already wrapped. The terminal wraps what is still too long, so that it is copied as one line.
    console.print(text, soft_wrap=True)
