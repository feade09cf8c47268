"""The registry as deletes read it: each answer is for one call, never from the cache or from a shared request."""

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.manifest import Manifest
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.registry.forwarding import ForwardingRegistry
from portus_gateway.registry.protocol import Reference, Registry


class FreshRegistry(ForwardingRegistry):
    """Reads from `registry` itself. Deletes go through `decorated`, so that what it remembers is forgotten.

    Only the content of a digest may come from the cache of `decorated`, within `max_staleness`: it cannot change.
    """

    def __init__(self, registry: Registry, decorated: Registry) -> None:
        super().__init__(registry)
        self._decorated = decorated

    async def get_manifest(
        self,
        repository: Repository,
        reference: Reference,
        max_staleness: float = 0,
        known: Manifest | None = None,
    ) -> Manifest:
        source = self._decorated if isinstance(reference, Digest) and max_staleness > 0 else self._registry
        return await source.get_manifest(repository, reference, max_staleness, known)

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        await self._decorated.delete_manifest(repository, digest)

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        await self._decorated.delete_tag(repository, tag)

    async def push_blob(self, repository: Repository, blob: bytes) -> None:
        await self._decorated.push_blob(repository, blob)

    async def push_manifest(self, repository: Repository, tag: Tag, manifest: bytes, media_type: str) -> None:
        await self._decorated.push_manifest(repository, tag, manifest, media_type)

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        await self._decorated.delete_blob(repository, digest)
