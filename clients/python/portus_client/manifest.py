"""Manifests: of one image, or of several."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from portus_client.descriptor import Descriptor


@dataclass(frozen=True, slots=True)
class Image:
    """What the manifest of one image, or of another artifact, says."""

    config: Descriptor | None
    """The image's configuration. None for an artifact that has none."""
    layers: tuple[Descriptor, ...]
    """The layers (an artifact's files), from the base up."""
    subject: Descriptor | None = None
    """The manifest that this one belongs to (a signature's image, say). None where it stands alone."""
    artifact_type: str = ""
    """What kind of artifact this is, a media type. Empty for an ordinary image."""
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Annotations, as they stand in the manifest."""
    image_id: str = ""
    """The digest of the configuration, which `docker images` shows as the image's id. Empty without configuration."""
    total_size: int | None = None
    """Bytes of the configuration and of all layers together. None where the manifest lacks the size of one of them."""


@dataclass(frozen=True, slots=True)
class Index:
    """What an OCI image index or a Docker manifest list says."""

    manifests: tuple[Descriptor, ...]
    """The manifests that the index names, in its order."""
    subject: Descriptor | None = None
    """The manifest that this one belongs to. None where it stands alone."""
    artifact_type: str = ""
    """What kind of artifact this is, a media type. Empty for an ordinary index."""
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Annotations, as they stand in the index."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest: the exact bytes, and what they say."""

    descriptor: Descriptor
    """What the bytes are: their media type, their digest, their size."""
    raw: bytes = field(repr=False)
    """The manifest exactly as the registry keeps it; the digest is the hash of these bytes. At most 4 MiB."""
    content: Image | Index | None
    """What the manifest says. None for a media type that the gateway does not know: `raw` is there all the same."""
