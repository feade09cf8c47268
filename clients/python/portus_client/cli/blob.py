"""`portus-client blob`."""

import codecs
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from portus_client.blob_reader import BlobReader
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.names import explaining_host, image_argument
from portus_client.cli.output_file import output_file
from portus_client.cli.session import Session, with_session
from portus_client.cli.terminal import is_file, print_error, short_digest
from portus_client.image_name import ImageName

_LAYOUT: Final = "\n\r\t"


@click.command()
@image_argument
@click.option("-o", "--to", "path", type=click.Path(path_type=Path), metavar="FILE", help="Write to this file.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Position of the first byte.  [default: 0]")
@click.option("--limit", type=click.IntRange(min=1), help="Maximum number of bytes.  [default: all]")
@with_session
def blob(session: Session, image: ImageName, path: Path | None, offset: int, limit: int | None) -> ExitCode:
    """Write a blob: a layer, a configuration, a signature, an SBOM.

    IMAGE is NAME@DIGEST with the digest of the blob. Without -o, it goes to standard output; to a terminal only if it
    is text. With -o, the file appears when the blob is complete and verified. On standard output, use the bytes only if
    the exit status is 0. A part (--offset, --limit) is not verified.

    \b
    Examples:
      portus-client blob team/app@sha256:... -o layer.tar.gz
      portus-client blob team/app@sha256:... | tar tz
    """
    if not image.digest:
        raise click.UsageError("IMAGE must have the digest of the blob: NAME@sha256:...")
    with (
        session.connect() as client,
        explaining_host(image),
        client.read_blob(image.repository, image.digest, offset=offset, limit=limit) as reader,
    ):
        # A whole file, so that its name never stands for a part of the blob.
        if path is not None and str(path) != "-":
            return _write_file(path, reader, image, offset, limit)
        if sys.stdout.isatty():
            return _write_terminal(reader.chunks())
        for chunk in _shown(reader, image, offset, limit, wanted=is_file(sys.stdout)):
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
    return ExitCode.OK


def _write_file(path: Path, reader: BlobReader, image: ImageName, offset: int, limit: int | None) -> ExitCode:
    try:
        with output_file(path) as stream:
            for chunk in _shown(reader, image, offset, limit, wanted=True):
                stream.write(chunk)
    except OSError as error:
        print_error(f"cannot write {path}: {error.strerror or error}")
        return ExitCode.FAILED
    return ExitCode.OK


def _write_terminal(chunks: Iterable[bytes]) -> ExitCode:
    """Writes text. Other bytes could control the terminal."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    wrote_line_end = True
    for chunk, is_last in _with_end(chunks):
        try:
            text = decoder.decode(chunk, is_last)
        except UnicodeDecodeError:
            return _refuse_binary()
        if not all(character.isprintable() or character in _LAYOUT for character in text):
            return _refuse_binary()
        click.echo(text, nl=False)
        wrote_line_end = text.endswith("\n") if text else wrote_line_end
    if not wrote_line_end:
        click.echo()
    return ExitCode.OK


def _refuse_binary() -> ExitCode:
    print_error("the blob is binary, and standard output is a terminal: give -o FILE, or send it to another program")
    return ExitCode.USAGE


def _with_end(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    for chunk in chunks:
        yield chunk, False
    yield b"", True


def _shown(reader: BlobReader, image: ImageName, offset: int, limit: int | None, *, wanted: bool) -> Iterator[bytes]:
    """The chunks. If `wanted`, a bar on standard error shows the progress, if that is a terminal."""
    if not wanted or not sys.stderr.isatty():
        yield from reader.chunks()
        return
    total = None if reader.size is None else max(reader.size - offset, 0)
    if limit is not None:
        total = limit if total is None else min(total, limit)
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with progress:
        task = progress.add_task(short_digest(image.digest), total=total)
        for chunk in reader.chunks():
            progress.advance(task, len(chunk))
            yield chunk
