"""The manifests in an index, which the terminal shows with their sizes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from portus_client.cli import failures
from portus_client.client import RegistryClient
from portus_client.descriptor import Descriptor
from portus_client.errors import RegistryError
from portus_client.manifest import Image, Index, Manifest

# One call. Real indexes have fewer than 50 manifests.
_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class Children:
    """The images in an index that could be read, by their digests."""

    images: Mapping[str, Image] = field(default_factory=dict)
    problem: str = ""
    """Why some could not be read. Empty if all were."""

    def size(self, child: Descriptor) -> int | None:
        """Size in bytes of the configuration and the layers of a manifest in the index. None if it is not known."""
        image = self.images.get(child.digest)
        return None if image is None else image.total_size

    def total_size(self, children: Sequence[Descriptor]) -> int | None:
        """Size in bytes of all of them together. What several have in common counts once. None if one is not known."""
        sizes: dict[str, int] = {}
        for child in children:
            image = self.images.get(child.digest)
            if image is None:
                return None
            for blob in (*filter(None, (image.config,)), *image.layers):
                if blob.size is None:
                    return None
                sizes[blob.digest] = blob.size
        return sum(sizes.values())


def read(client: RegistryClient, repository: str, manifest: Manifest) -> Children:
    """Reads the manifests in an index, in one call. One that cannot be read does not prevent that others are shown."""
    if not isinstance(manifest.content, Index):
        return Children()
    digests = list(dict.fromkeys(child.digest for child in manifest.content.manifests))
    if len(digests) > _MOST:
        return Children(problem=f"there are more than {_MOST} manifests")
    images: dict[str, Image] = {}
    problems: list[str] = []
    for digest, outcome in _outcomes(client, repository, digests):
        match outcome:
            case Manifest(content=Image() as image):
                images[digest] = image
            case Manifest(content=Index()):
                problems.append(f"{digest} is an index")
            case Manifest():
                problems.append(f"the content of {digest} is not shown")
            case RegistryError():
                problems.append(failures.summary(outcome))
    return Children(images, problems[0] if problems else "")


def _outcomes(
    client: RegistryClient, repository: str, digests: Sequence[str]
) -> Iterator[tuple[str, Manifest | RegistryError]]:
    try:
        for result in client.batch_manifests((repository, digest) for digest in digests):
            yield result.request.reference, result.outcome
    except RegistryError as error:
        # The index itself was read, and is shown.
        yield "", error
