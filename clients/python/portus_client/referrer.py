"""Manifests that refer to another one: signatures, attestations, SBOMs."""

from dataclasses import dataclass
from typing import Literal

from portus_client.descriptor import Descriptor
from portus_client.errors import RegistryError


@dataclass(frozen=True, slots=True)
class Referrer:
    """A manifest that refers to another one."""

    descriptor: Descriptor
    """The manifest, with its `artifact_type` and annotations."""
    source: Literal["referrers API", "fallback tag", "cosign tag", "unknown"]
    """How the gateway learned of it."""
    tag: str = ""
    """The tag that it was found by. Empty for the registry's API."""
    layers: tuple[Descriptor, ...] = ()
    """The content: a signature's payload, the SBOM. `read_blob` reads it by its digest."""
    error: RegistryError | None = None
    """Why the manifest could not be read. `layers` is then unknown."""
