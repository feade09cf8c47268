"""Manifests and their content: images, other artifacts and indexes, of OCI and of Docker.

Follows the OCI image specification 1.1 (manifest, index, descriptor) and Docker's image manifest V2, schema 2.
A missing field is None or empty, never an error (Portus #2215).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import ContentUnclear

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_MANIFEST_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"

# Every request for a manifest names all four. Without them a registry rewrites the manifest, or answers with
# one child of an index, under a digest that cannot be deleted (Portus #718, #725).
MANIFEST_MEDIA_TYPES: Final = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST)
IMAGE_MEDIA_TYPES: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEX_MEDIA_TYPES: Final = frozenset({OCI_INDEX, DOCKER_MANIFEST_LIST})

GENERIC_MEDIA_TYPES: Final = frozenset({"", "application/json", "application/octet-stream", "text/plain"})
"""Media types that some registries send with any manifest. The content decides what it is."""

# The configuration of an image contains the platform of the image.
IMAGE_CONFIGURATION_TYPES: Final = frozenset(
    {"", "application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
)

Kind: TypeAlias = Literal["image", "index"]


@dataclass(frozen=True, slots=True)
class Platform:
    """The platform that an image was built for."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A pointer to content: its media type, its digest, and its size in bytes if known.

    `urls` are addresses of the content outside of the registry. `data` is the content itself if it is embedded.
    """

    media_type: str
    digest: Digest
    size: int | None = None
    platform: Platform | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    urls: tuple[str, ...] = ()
    data: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Image:
    """The manifest of one image or other artifact."""

    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    subject: Descriptor | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def image_id(self) -> Digest | None:
        """The digest of the configuration. `docker images` shows it as the image's id."""
        return self.config.digest if self.config else None

    @property
    def total_size(self) -> int | None:
        """As `total_size_of`."""
        return total_size_of([self])


def total_size_of(images: Iterable[Image]) -> int | None:
    """Size in bytes of the configurations and all layers of `images` together. Each digest counts once.

    None if a size is missing, or if one digest has two sizes.
    """
    sizes: dict[Digest, int] = {}
    for image in images:
        for part in (*((image.config,) if image.config else ()), *image.layers):
            if part.size is None or sizes.setdefault(part.digest, part.size) != part.size:
                return None
    return sum(sizes.values())


@dataclass(frozen=True, slots=True)
class Index:
    """A manifest that names others: an OCI image index or a Docker manifest list."""

    manifests: tuple[Descriptor, ...]
    subject: Descriptor | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContentProblem:
    """Why a manifest has no parsed content.

    `reason` is one of these: `CONTENT_AMBIGUOUS`, readers could see different content; `CONTENT_INVALID`, it does not
    follow the specification; `CONTENT_TOO_LARGE`, it has more parts than the gateway reads; `CONTENT_TYPE_UNKNOWN`, the
    gateway does not know the media type.
    """

    reason: str
    message: str

    def error(self) -> ContentUnclear:
        return ContentUnclear(self.message, reason=self.reason)


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Manifest:
    """A manifest: its exact bytes, whose hash is `descriptor.digest`, and its parsed content.

    `content` is what container runtimes read. If it is None, `problem` says why. `kind` says whether it is an image or
    an index, by its media type or, if that is generic, by its content; None if that is unknown. `entries` is the number
    of descriptors, annotations and the like. Two manifests are equal only if they are the same object.
    """

    descriptor: Descriptor
    raw: bytes = field(repr=False)
    content: Image | Index | None
    problem: ContentProblem | None = None
    kind: Kind | None = None
    entries: int = 0
