"""A manifest on the terminal: its properties, and a table of its layers or platforms."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from portus_client.cli import child, failures
from portus_client.cli.children import Children
from portus_client.cli.columns import Columns
from portus_client.cli.terminal import DIGEST, SHORT_DIGEST, printable, short_digest, size
from portus_client.manifest import Image, Index, Manifest

_NAME_WIDTH = len("Media type")
# From these widths on, whole digests fit beside a media type, a platform, or a property's name.
_WHOLE_IN_LAYERS_WIDTH = 140
_WHOLE_IN_MANIFESTS_WIDTH = 105
_WHOLE_IN_PROPERTIES_WIDTH = _NAME_WIDTH + 2 + DIGEST


def show(manifest: Manifest, children: Children, console: Console) -> None:
    """Writes the digest, the manifest's properties, and a table of its layers or platforms.

    `children` are the manifests in an index.
    """
    # The digest has a line of its own, so that it can be copied whole on every terminal.
    _print(console, Text(printable(manifest.descriptor.digest), style="bold"))
    columns = Columns([("", _NAME_WIDTH)], "", console)
    for name, value in _properties(manifest, children, whole_digests=console.width >= _WHOLE_IN_PROPERTIES_WIDTH):
        _print(console, columns.row([Text(name, style="dim"), Text(printable(value))]))
    match manifest.content:
        case Image() as image if image.layers:
            whole = console.width >= _WHOLE_IN_LAYERS_WIDTH
            rows = [_Row(layer.digest, layer.size, child.layer(layer)) for layer in image.layers]
            _show_rows(console, "Layer", rows, "Media type", whole=whole)
        case Index() as index if index.manifests:
            whole = console.width >= _WHOLE_IN_MANIFESTS_WIDTH
            rows = [_Row(each.digest, children.size(each), child.described(each)) for each in index.manifests]
            _show_rows(console, "Manifest", rows, "Platform", whole=whole)
        case _:
            pass


def _properties(manifest: Manifest, children: Children, *, whole_digests: bool) -> Iterator[tuple[str, str]]:
    def shown(digest: str) -> str:
        return digest if whole_digests else short_digest(digest)

    yield "Media type", manifest.descriptor.media_type
    content = manifest.content
    match content:
        case Image():
            if content.image_id:
                yield "Image id", shown(content.image_id)
            yield "Total size", f"{size(content.total_size)} in {_counted(len(content.layers), 'layer')}"
        case Index():
            yield "Total size", _index_size(content, children)
            yield "Manifests", f"{len(content.manifests)}; --platform shows one of them"
        case None:
            yield (
                "Content",
                f"not shown: {_reason(manifest)}; --raw writes the bytes",
            )
            return
    if content.artifact_type:
        yield "Artifact", content.artifact_type
    if content.subject is not None:
        yield "Subject", shown(content.subject.digest)
    for key, value in sorted(content.annotations.items()):
        yield "Annotation", f"{key}={value}"


def _index_size(index: Index, children: Children) -> str:
    total = children.total_size(index.manifests)
    if total is None:
        return f"unknown: {children.problem or 'a size is not stated'}"
    return f"{size(total)} in {_counted(len(index.manifests), 'manifest')}"


def _reason(manifest: Manifest) -> str:
    if manifest.content_error is None:
        return "not known to the gateway"
    return failures.summary(manifest.content_error)


@dataclass(frozen=True, slots=True)
class _Row:
    digest: str
    size: int | None
    kind: str


def _show_rows(console: Console, header: str, rows: Sequence[_Row], last: str, *, whole: bool) -> None:
    sizes = [size(row.size) for row in rows]
    width = max(map(len, ("Size", *sizes)))
    digest_width = DIGEST if whole else SHORT_DIGEST
    columns = Columns([(header, digest_width), (f"{'Size':>{width}}", width)], last, console)
    console.print()
    _print(console, columns.header())
    for row, amount in zip(rows, sizes, strict=True):
        digest = row.digest if whole else short_digest(row.digest)
        _print(console, columns.row([Text(printable(digest)), Text(f"{amount:>{width}}"), Text(printable(row.kind))]))


def _print(console: Console, text: Text) -> None:
    # The rows are already wrapped. The terminal wraps what is still too long, so that it is copied as one line.
    console.print(text, soft_wrap=True)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
