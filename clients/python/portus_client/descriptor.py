"""Descriptors and platforms, as the OCI image specification defines them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True)
class Platform:
    """The platform that an image is built for. In a request: the platform of a machine, chosen as containerd does."""

    os: str
    """Operating system, in Go's spelling: `linux`, `windows`. Required in a request."""
    architecture: str
    """CPU architecture, in Go's spelling: `amd64`, `arm64`. Required in a request."""
    variant: str = ""
    """Variant of the architecture: `v7`, `v8`. Empty if there is none."""
    os_version: str = ""
    """Version of the operating system. Empty if not stated. In a request, only that of Windows counts."""
    os_features: tuple[str, ...] = ()
    """Features that the operating system must have. Empty if not stated."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `os/architecture[/variant]`, such as `linux/arm64/v8`. Raises `ValueError` for anything else."""
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise ValueError(f"{text!r} is not a platform: write OS/ARCH or OS/ARCH/VARIANT, such as linux/arm64")
        os, architecture, variant = (*parts, "")[:3]
        return cls(os, architecture, variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to content by its digest, with what is needed to fetch and verify it."""

    media_type: str
    """Media type of the content, such as `application/vnd.oci.image.manifest.v1+json`."""
    digest: str
    """Digest of the content: `sha256:` and 64, or `sha512:` and 128 lower-case hexadecimal digits."""
    size: int | None = None
    """Size of the content in bytes. None if the registry does not state it."""
    platform: Platform | None = None
    """Platform of the image. Set only on the manifests of an index."""
    artifact_type: str = ""
    """Type of the artifact, as a media type. Empty if not stated."""
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Annotations, as in the manifest."""
    urls: tuple[str, ...] = ()
    """Addresses outside of the registry where the content can be fetched."""
    data: bytes = field(default=b"", repr=False)
    """The content itself, if the manifest has it embedded. The gateway has verified it."""
