"""What a manifest in an index is, in a few words."""

from collections.abc import Mapping
from typing import Final

from portus_client.cli.terminal import short_digest
from portus_client.descriptor import Descriptor, Platform

# Annotations of BuildKit: https://github.com/moby/buildkit/blob/master/docs/attestations/attestation-storage.md
_REFERENCE_TYPE: Final = "vnd.docker.reference.type"
_REFERENCE_DIGEST: Final = "vnd.docker.reference.digest"
_ATTESTATION: Final = "attestation-manifest"
_PREDICATE_TYPE: Final = "in-toto.io/predicate-type"


def is_attestation(child: Descriptor) -> bool:
    """Whether it is an attestation of BuildKit for an image in the same index. It has no real platform."""
    return child.annotations.get(_REFERENCE_TYPE) == _ATTESTATION


def described(child: Descriptor) -> str:
    """The platform and its version, what an attestation is about, the type of an artifact. `-` if none is stated."""
    parts = []
    if is_attestation(child):
        # The whole digest is in the row of the image.
        about = short_digest(child.annotations.get(_REFERENCE_DIGEST, "an unknown image"))
        parts.append(f"attestation of {about}")
    elif child.platform is not None:
        parts.append(platform(child.platform))
    if child.artifact_type:
        parts.append(child.artifact_type)
    return " ".join(parts) or "-"


def platform(value: Platform) -> str:
    """`windows/amd64 10.0.20348.2700`: with the version of the operating system, if there is one."""
    return " ".join(filter(None, (str(value), value.os_version)))


def layer(value: Descriptor) -> str:
    """The media type of a layer. For a layer of an attestation, also what it states: provenance, an SBOM."""
    return " ".join(filter(None, (value.media_type, _predicate(value.annotations))))


def _predicate(annotations: Mapping[str, str]) -> str:
    return annotations.get(_PREDICATE_TYPE, "")
