"""Pointers to content, as the OCI image specification has them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True)
class Platform:
    """The platform that an image was built for. In a request, a part that is empty matches anything."""

    os: str
    """Operating system, in Go's spelling: `linux`, `windows`. Required in a request."""
    architecture: str
    """CPU architecture, in Go's spelling: `amd64`, `arm64`. Required in a request."""
    variant: str = ""
    """Variant of the architecture: `v7`, `v8`. Empty where there is none."""
    os_version: str = ""
    """Version of the operating system. Empty where the index names none."""
    os_features: tuple[str, ...] = ()
    """Features that the operating system must have. Empty where the index names none."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `os/architecture[/variant]`, such as `linux/arm64/v8`. Raises `ValueError` for anything else."""
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise ValueError(
                f"{text!r} is no platform: os/architecture, such as linux/arm64, or os/architecture/variant"
            )
        os, architecture, variant = (*parts, "")[:3]
        return cls(os, architecture, variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A pointer to content: enough to fetch it, and to check it."""

    media_type: str
    """Media type of the content, such as `application/vnd.oci.image.manifest.v1+json`."""
    digest: str
    """Digest of the content: `sha256:` and 64, or `sha512:` and 128 lower-case hexadecimal digits."""
    size: int | None = None
    """Size of the content in bytes. None where the registry did not say."""
    platform: Platform | None = None
    """Platform of the image that this points to. Set on the children of an index alone."""
    artifact_type: str = ""
    """What kind of artifact this points to, a media type. Empty where not given."""
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Annotations, as they stand in the manifest."""
