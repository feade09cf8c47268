"""What decorators of `Registry` have in common: whatever they do not change goes on as it came."""

from typing import Generic, TypeVar

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.manifest import Descriptor, Manifest
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.registry.protocol import Cursor, Page, Reference, Registry, RegistryVersion

Inner = TypeVar("Inner", bound=Registry)


class ForwardingRegistry(Generic[Inner]):
    """Passes everything on to another registry."""

    def __init__(self, registry: Inner) -> None:
        self._registry = registry

    async def ping(self) -> RegistryVersion:
        return await self._registry.ping()

    async def list_repositories(self, size: int, after: Cursor | None = None) -> Page[Repository | UnusableName]:
        return await self._registry.list_repositories(size, after)

    async def list_tags(self, repository: Repository, size: int, after: Cursor | None = None) -> Page[Tag]:
        return await self._registry.list_tags(repository, size, after)

    async def resolve_manifest(self, repository: Repository, reference: Reference) -> Descriptor:
        return await self._registry.resolve_manifest(repository, reference)

    async def get_manifest(self, repository: Repository, reference: Reference, max_staleness: float = 0) -> Manifest:
        return await self._registry.get_manifest(repository, reference, max_staleness)

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        await self._registry.delete_manifest(repository, digest)

    async def blob_exists(self, repository: Repository, digest: Digest) -> bool:
        return await self._registry.blob_exists(repository, digest)

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        await self._registry.delete_blob(repository, digest)

    async def check_deletion(self, repository: Repository) -> None:
        await self._registry.check_deletion(repository)
