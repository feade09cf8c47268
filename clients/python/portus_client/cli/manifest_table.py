"""A manifest for people: what it is, and its layers or platforms."""

from collections.abc import Iterable, Iterator

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from portus_client.cli.terminal import printable, short_digest, size
from portus_client.descriptor import Descriptor
from portus_client.manifest import Image, Index, Manifest

# How wide a terminal has to be for a table with whole digests: beside a media type, and beside a platform.
_WIDE_FOR_LAYERS = 140
_WIDE_FOR_MANIFESTS = 105


def show(manifest: Manifest, console: Console) -> None:
    """Writes the manifest's facts, and a table of its layers or platforms."""
    console.print(_facts(manifest))
    match manifest.content:
        case Image() as image if image.layers:
            console.print(_layers(image.layers, console))
        case Index() as index if index.manifests:
            console.print(_manifests(index.manifests, console))
        case _:
            pass


def _facts(manifest: Manifest) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("Digest", Text(printable(manifest.descriptor.digest), style="bold"))
    grid.add_row("Media type", Text(printable(manifest.descriptor.media_type)))
    for name, value in _facts_of_content(manifest.content):
        grid.add_row(name, Text(printable(value)))
    return grid


def _facts_of_content(content: Image | Index | None) -> Iterator[tuple[str, str]]:
    match content:
        case Image():
            if content.image_id:
                yield "Image id", content.image_id
            yield "Total size", f"{size(content.total_size)} in {_counted(len(content.layers), 'layer')}"
        case Index():
            yield "Manifests", f"{len(content.manifests)}; --platform shows one of them"
        case None:
            yield "Content", "of a kind that the gateway does not know; --raw shows it"
            return
    if content.artifact_type:
        yield "Artifact", content.artifact_type
    if content.subject is not None:
        yield "Belongs to", content.subject.digest
    for key, value in sorted(content.annotations.items()):
        yield "Annotation", f"{key}={value}"


def _layers(layers: Iterable[Descriptor], console: Console) -> Table:
    table = _table("Layer", "Size", "Media type")
    for layer in layers:
        table.add_row(
            _digest(layer, whole=console.width >= _WIDE_FOR_LAYERS),
            size(layer.size),
            Text(printable(layer.media_type), style="dim"),
        )
    return table


def _manifests(manifests: Iterable[Descriptor], console: Console) -> Table:
    table = _table("Manifest", "Size", "Platform")
    for manifest in manifests:
        platform = str(manifest.platform) if manifest.platform is not None else "-"
        table.add_row(
            _digest(manifest, whole=console.width >= _WIDE_FOR_MANIFESTS),
            size(manifest.size),
            Text(printable(platform), style="bold"),
        )
    return table


def _table(digest: str, amount: str, kind: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(digest, no_wrap=True)
    table.add_column(amount, justify="right", no_wrap=True)
    table.add_column(kind, overflow="fold")
    return table


def _digest(descriptor: Descriptor, *, whole: bool) -> Text:
    return Text(printable(descriptor.digest if whole else short_digest(descriptor.digest)))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
