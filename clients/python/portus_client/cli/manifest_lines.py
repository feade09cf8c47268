"""Many manifests, one per line, in the order in which they were requested."""

from collections.abc import Iterable, Iterator, Sequence

import click
from rich.text import Text

from portus_client.batch import BatchResult
from portus_client.cli import child, failures
from portus_client.cli.columns import Columns
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.progress_line import counted
from portus_client.cli.rows import Rows
from portus_client.cli.session import OutputFormat
from portus_client.cli.terminal import DIGEST, SHORT_DIGEST, console, print_error, printable, short_digest, size
from portus_client.errors import RegistryError
from portus_client.manifest import Image, Index, Manifest

_MAX_NAME_WIDTH = 40
# From this width on, whole digests fit beside the names.
_WHOLE_DIGESTS_WIDTH = 140
_SIZE_WIDTH = len("999.9 MB")
_UNKNOWN = "?"


def show(
    output_format: OutputFormat, header: str, names: Sequence[str], results: Iterable[BatchResult[Manifest]]
) -> int:
    """Writes one line per result with the name at its index. `header` is above the names. Returns the error count."""
    printed = [printable(name) for name in names]
    width = min(_MAX_NAME_WIDTH, max(map(len, (header, *printed))))
    if output_format is OutputFormat.TERMINAL:
        return _show_rows(header, printed, width, results)
    failed = 0
    for result in counted(in_order(results), "manifests", len(names)):
        failed += isinstance(result.outcome, RegistryError)
        click.echo(f"{printed[result.index]:<{width}}  {_text(result.outcome)}")
    return failed


def in_order(results: Iterable[BatchResult[Manifest]]) -> Iterator[BatchResult[Manifest]]:
    """The results in the order of the requests. Each is yielded as soon as all results before it are known."""
    early: dict[int, BatchResult[Manifest]] = {}
    due = 0
    for result in results:
        early[result.index] = result
        while due in early:
            yield early.pop(due)
            due += 1


def report(failed: int, total: int) -> ExitCode:
    """Reports on standard error how many of `total` manifests failed, and returns the exit status."""
    if failed:
        print_error(f"{failed} of {total} manifests could not be fetched")
        return ExitCode.PARTIAL
    return ExitCode.OK


def _show_rows(header: str, names: Sequence[str], width: int, results: Iterable[BatchResult[Manifest]]) -> int:
    terminal = console()
    whole = terminal.width >= _WHOLE_DIGESTS_WIDTH
    digest_width = DIGEST if whole else SHORT_DIGEST
    failed = 0
    size_header = f"{'Size':>{_SIZE_WIDTH}}"
    columns = Columns([(header, width), ("Digest", digest_width), (size_header, _SIZE_WIDTH)], "Content", terminal)
    with Rows(terminal, columns, "manifests", len(names)) as rows:
        for result in in_order(results):
            name = Text(names[result.index], style="bold")
            if isinstance(result.outcome, RegistryError):
                failed += 1
                rows.add(name, Text(_text(result.outcome), style="red"))
            else:
                digest = result.outcome.descriptor.digest
                rows.add(
                    name,
                    Text(printable(digest if whole else short_digest(digest))),
                    Text(f"{_size(result.outcome):>{_SIZE_WIDTH}}"),
                    Text(printable(_content(result.outcome))),
                )
    return failed


def _text(outcome: Manifest | RegistryError) -> str:
    if isinstance(outcome, RegistryError):
        return printable(f"{_UNKNOWN} {failures.summary(outcome)}")
    return printable(outcome.descriptor.digest)


def _size(manifest: Manifest) -> str:
    return size(manifest.content.total_size) if isinstance(manifest.content, Image) else "-"


def _content(manifest: Manifest) -> str:
    match manifest.content:
        case Image() as image:
            return image.artifact_type or ("image" if image.config is not None else "artifact")
        case Index() as index:
            platforms = [
                child.platform(each.platform)
                for each in index.manifests
                if each.platform is not None and not child.is_attestation(each)
            ]
            return index.artifact_type or ", ".join(platforms) or f"index of {len(index.manifests)}"
        case None:
            reason = manifest.content_error.reason if manifest.content_error is not None else ""
            return f"{_UNKNOWN} {reason or manifest.descriptor.media_type}"
