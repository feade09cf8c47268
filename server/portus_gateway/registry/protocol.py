"""What the gateway asks of a registry: the seam between the RPCs and the Distribution client.

Decorators (cached, coalesced, measured, …) implement the same protocol around another `Registry`.
"""

from typing import Protocol

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.manifest import Descriptor, Manifest
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.distribution.page import Cursor, Page
from portus_gateway.distribution.ping import RegistryVersion
from portus_gateway.distribution.reference import Reference

__all__ = ["Cursor", "Page", "Reference", "Registry", "RegistryVersion", "RevalidatingRegistry"]


class Registry(Protocol):
    """One Distribution registry.

    Every method raises errors of `distribution.errors`, and only those; an empty answer means empty. The ambient
    deadline (`distribution.deadline`) bounds each of them.
    """

    async def ping(self) -> RegistryVersion:
        """Makes sure that the registry answers and takes our credentials (GET /v2/)."""
        ...

    async def list_repositories(self, size: int, after: Cursor | None = None) -> Page[Repository | UnusableName]:
        """A page of about `size` (1 to 1000) repositories, in the registry's order."""
        ...

    async def list_tags(self, repository: Repository, size: int, after: Cursor | None = None) -> Page[Tag]:
        """A page of at most `size` (1 to 1000) tags, in lexical order. Raises `NotFound`."""
        ...

    async def resolve_manifest(self, repository: Repository, reference: Reference) -> Descriptor:
        """What `reference` points to, without its content (HEAD). Raises `NotFound`."""
        ...

    async def get_manifest(self, repository: Repository, reference: Reference, max_staleness: float = 0) -> Manifest:
        """The manifest that `reference` points to, its bytes verified. Raises `NotFound`.

        `max_staleness` is how old, in seconds, a remembered answer may be; 0 asks the registry.
        """
        ...

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        """Deletes the manifest and all tags on it, without asking about them. Raises `NotFound`, `Unsupported`."""
        ...

    async def blob_exists(self, repository: Repository, digest: Digest) -> bool:
        """Whether the repository has the blob. Raises `NotFound` where there is no such repository."""
        ...

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        """Deletes the blob from the repository. Raises `NotFound`, `Unsupported`."""
        ...

    async def check_deletion(self, repository: Repository) -> None:
        """Makes sure that the registry would delete in `repository`, without deleting anything.

        Raises `Unsupported` where it has deletion switched off, `Denied` where our account may not.
        """
        ...


class RevalidatingRegistry(Registry, Protocol):
    """A registry that can be asked whether a manifest is still the one that the asker has."""

    async def revalidate_manifest(self, repository: Repository, reference: Reference, known: Manifest) -> Manifest:
        """What `get_manifest` answers; `known` itself where that is still it, without its bytes being sent.

        Raises `NotFound`.
        """
        ...
