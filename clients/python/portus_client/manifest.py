"""Manifests of images and indexes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from portus_client.descriptor import Descriptor
from portus_client.errors import RegistryError


@dataclass(frozen=True, slots=True)
class Image:
    """The content of a manifest of one image or one other artifact."""

    config: Descriptor | None
    """The image's configuration. None for an artifact without one."""
    layers: tuple[Descriptor, ...]
    """The layers, base layer first. For an artifact: its files."""
    subject: Descriptor | None = None
    """The manifest that this one refers to, for example the image that this signature signs. None if there is none."""
    artifact_type: str = ""
    """Type of the artifact, as a media type. Empty for an ordinary image."""
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Annotations, as in the manifest."""
    image_id: str = ""
    """Digest of the configuration. `docker images` shows it as the image id. Empty without a configuration."""
    total_size: int | None = None
    """Size of the configuration and all different layers in bytes. None if the manifest does not state every size."""


@dataclass(frozen=True, slots=True)
class Index:
    """The content of an OCI image index or a Docker manifest list."""

    manifests: tuple[Descriptor, ...]
    """The manifests in the index, in its order."""
    subject: Descriptor | None = None
    """The manifest that this one refers to. None if there is none."""
    artifact_type: str = ""
    """Type of the artifact, as a media type. Empty for an ordinary index."""
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Annotations, as in the index."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest: its exact bytes and its parsed content."""

    descriptor: Descriptor
    """Media type, digest and size of the bytes."""
    raw: bytes = field(repr=False)
    """The exact bytes that the registry stores; the digest is their hash. At most 4 MiB."""
    content: Image | Index | None
    """The parsed content, as container runtimes read it. None if there is none; `content_error` says why."""
    content_error: RegistryError | None = None
    """Why there is no parsed content, with a reason such as `CONTENT_AMBIGUOUS`. `raw` is always set."""
