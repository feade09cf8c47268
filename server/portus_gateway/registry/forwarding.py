"""The base of decorators of `Registry`: it forwards every call unchanged."""

from contextlib import AbstractAsyncContextManager

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.image_config import ImageConfig
from portus_gateway.distribution.manifest import Descriptor, Manifest
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.registry.protocol import (
    Cursor,
    OpenBlob,
    Page,
    Part,
    Reference,
    ReferrersPage,
    Registry,
    RegistryVersion,
)


class ForwardingRegistry:
    """Forwards every call to another registry. A decorator overrides what it changes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def ping(self) -> RegistryVersion:
        return await self._registry.ping()

    async def list_repositories(self, size: int | None, after: Cursor | None = None) -> Page[Repository | UnusableName]:
        return await self._registry.list_repositories(size, after)

    async def list_tags(
        self, repository: Repository, size: int | None, after: Cursor | None = None
    ) -> Page[Tag | UnusableName]:
        return await self._registry.list_tags(repository, size, after)

    async def is_in_catalog(self, repository: Repository) -> bool:
        return await self._registry.is_in_catalog(repository)

    async def resolve_manifest(
        self, repository: Repository, reference: Reference, max_staleness: float = 0
    ) -> Descriptor:
        return await self._registry.resolve_manifest(repository, reference, max_staleness)

    async def get_manifest(
        self,
        repository: Repository,
        reference: Reference,
        max_staleness: float = 0,
        known: Manifest | None = None,
    ) -> Manifest:
        return await self._registry.get_manifest(repository, reference, max_staleness, known)

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        await self._registry.delete_manifest(repository, digest)

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        await self._registry.delete_tag(repository, tag)

    async def push_blob(self, repository: Repository, blob: bytes) -> None:
        await self._registry.push_blob(repository, blob)

    async def push_manifest(self, repository: Repository, tag: Tag, manifest: bytes, media_type: str) -> None:
        await self._registry.push_manifest(repository, tag, manifest, media_type)

    async def blob_exists(self, repository: Repository, digest: Digest) -> bool:
        return await self._registry.blob_exists(repository, digest)

    async def get_blob(self, repository: Repository, digest: Digest) -> bytes:
        return await self._registry.get_blob(repository, digest)

    def open_blob(self, repository: Repository, digest: Digest, part: Part) -> AbstractAsyncContextManager[OpenBlob]:
        return self._registry.open_blob(repository, digest, part)

    async def list_referrers(
        self, repository: Repository, digest: Digest, artifact_type: str, query: str
    ) -> ReferrersPage | None:
        return await self._registry.list_referrers(repository, digest, artifact_type, query)

    async def get_image_config(self, repository: Repository, config: Descriptor) -> ImageConfig:
        return await self._registry.get_image_config(repository, config)

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        await self._registry.delete_blob(repository, digest)

    async def check_tag_deletion(self, repository: Repository) -> None:
        await self._registry.check_tag_deletion(repository)

    async def check_deletion(self, repository: Repository) -> None:
        await self._registry.check_deletion(repository)
