"""A manifest for people: what it is, and its layers or platforms."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from portus_client.cli.columns import Columns
from portus_client.cli.terminal import DIGEST, SHORT_DIGEST, printable, short_digest, size
from portus_client.descriptor import Descriptor
from portus_client.manifest import Image, Index, Manifest

_NAME_WIDTH = len("Media type")
# How wide a terminal has to be for whole digests beside a media type, a platform, and a fact's name.
_WIDE_FOR_LAYERS = 140
_WIDE_FOR_MANIFESTS = 105
_WIDE_FOR_FACTS = _NAME_WIDTH + 2 + DIGEST


def show(manifest: Manifest, console: Console) -> None:
    """Writes the digest, the manifest's facts, and a table of its layers or platforms."""
    # On a line of its own the digest is whole on every terminal, and can be copied.
    _print(console, Text(printable(manifest.descriptor.digest), style="bold"))
    facts = Columns([("", _NAME_WIDTH)], "", console)
    for name, value in _facts(manifest, whole_digests=console.width >= _WIDE_FOR_FACTS):
        _print(console, facts.row([Text(name, style="dim"), Text(printable(value))]))
    match manifest.content:
        case Image() as image if image.layers:
            _show(console, "Layer", image.layers, "Media type", whole=console.width >= _WIDE_FOR_LAYERS)
        case Index() as index if index.manifests:
            _show(console, "Manifest", index.manifests, "Platform", whole=console.width >= _WIDE_FOR_MANIFESTS)
        case _:
            pass


def _facts(manifest: Manifest, *, whole_digests: bool) -> Iterator[tuple[str, str]]:
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
            yield "Manifests", f"{len(content.manifests)}; --platform shows one of them"
        case None:
            yield "Content", "of a kind that the gateway does not know; --raw shows it"
            return
    if content.artifact_type:
        yield "Artifact", content.artifact_type
    if content.subject is not None:
        yield "Belongs to", shown(content.subject.digest)
    for key, value in sorted(content.annotations.items()):
        yield "Annotation", f"{key}={value}"


def _show(console: Console, header: str, descriptors: Sequence[Descriptor], last: str, *, whole: bool) -> None:
    sizes = [size(descriptor.size) for descriptor in descriptors]
    width = max(map(len, ("Size", *sizes)))
    digest_width = DIGEST if whole else SHORT_DIGEST
    columns = Columns([(header, digest_width), (f"{'Size':>{width}}", width)], last, console)
    console.print()
    _print(console, columns.header())
    for descriptor, amount in zip(descriptors, sizes, strict=True):
        digest = descriptor.digest if whole else short_digest(descriptor.digest)
        kind = descriptor.media_type if last == "Media type" else str(descriptor.platform or "-")
        _print(console, columns.row([Text(printable(digest)), Text(f"{amount:>{width}}"), Text(printable(kind))]))


def _print(console: Console, text: Text) -> None:
    # The rows are wrapped already; what is too long to be wrapped is left to the terminal, whose copy is then whole.
    console.print(text, soft_wrap=True)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
