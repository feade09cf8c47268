"""The registry as the caller of the current call may see it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial

from portus_gateway.access.admission import Admissions
from portus_gateway.access.current_call import current_rpc
from portus_gateway.access.policy import PolicySource, Rights
from portus_gateway.access.rpcs import RPCS
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import NotFound
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
from portus_gateway.registry.visible_catalog import Name, visible_page


class AuthorizedRegistry:
    """`registry` as the policy lets the caller of the current call use it, with the right of the RPC that it called.

    A composed RPC (`Rpc.composed`) also needs the rights of the RPCs whose answers it contains.

    It must be outside of the cache and of shared requests. Outside of a call every method but `ping` raises
    `LookupError`.

    A repository that the caller may do nothing with is hidden: no request for it is sent, and the answer is the same as
    for a repository that does not exist. A caller that does not see everything gets this answer, word by word, for all
    that the registry does not have. A caller that may do something else with the repository gets `PermissionDenied`.
    """

    def __init__(self, registry: Registry, source: PolicySource) -> None:
        self._registry = registry
        self._source = source
        self._admissions = Admissions(source)

    async def ping(self) -> RegistryVersion:
        return await self._registry.ping()

    async def list_repositories(self, size: int | None, after: Cursor | None = None) -> Page[Name]:
        caller, rpc = current_rpc()
        rights = self._source.policy.rights(caller, rpc)
        if rights.everywhere:
            return await self._registry.list_repositories(size, after)
        return await visible_page(self._registry, partial(_allows, rights), size, after)

    async def list_tags(
        self, repository: Repository, size: int | None, after: Cursor | None = None
    ) -> Page[Tag | UnusableName]:
        with self._admissions.admission(repository, None):
            return await self._registry.list_tags(repository, size, after)

    async def is_in_catalog(self, repository: Repository) -> bool:
        with self._admissions.admission(repository, None):
            return await self._registry.is_in_catalog(repository)

    async def resolve_manifest(
        self, repository: Repository, reference: Reference, max_staleness: float = 0
    ) -> Descriptor:
        with self._admissions.admission(repository, reference, RPCS["ResolveManifest"]):
            return await self._registry.resolve_manifest(repository, reference, max_staleness)

    async def get_manifest(
        self,
        repository: Repository,
        reference: Reference,
        max_staleness: float = 0,
        known: Manifest | None = None,
    ) -> Manifest:
        with self._admissions.admission(repository, reference, RPCS["GetManifest"]):
            return await self._registry.get_manifest(repository, reference, max_staleness, known)

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        with self._admissions.admission(repository, digest):
            await self._registry.delete_manifest(repository, digest)

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        with self._admissions.admission(repository, tag):
            await self._registry.delete_tag(repository, tag)

    async def push_blob(self, repository: Repository, blob: bytes) -> None:
        with self._admissions.admission(repository, None):
            await self._registry.push_blob(repository, blob)

    async def push_manifest(self, repository: Repository, tag: Tag, manifest: bytes, media_type: str) -> None:
        with self._admissions.admission(repository, tag):
            await self._registry.push_manifest(repository, tag, manifest, media_type)

    async def blob_exists(self, repository: Repository, digest: Digest) -> bool:
        if self._source.policy.rights(*current_rpc()).everywhere:
            return await self._registry.blob_exists(repository, digest)
        try:
            with self._admissions.admission(repository, digest):
                return await self._registry.blob_exists(repository, digest)
        except NotFound:
            # The caller must not learn which is the case: no repository, a hidden repository, or no blob.
            return False

    async def get_blob(self, repository: Repository, digest: Digest) -> bytes:
        with self._admissions.admission(repository, digest):
            return await self._registry.get_blob(repository, digest)

    @asynccontextmanager
    async def open_blob(self, repository: Repository, digest: Digest, part: Part) -> AsyncGenerator[OpenBlob, None]:
        with self._admissions.admission(repository, digest):
            async with self._registry.open_blob(repository, digest, part) as blob:
                yield _AuthorizedBlob(blob, lambda: self._admissions.admission(repository, digest))

    async def list_referrers(
        self, repository: Repository, digest: Digest, artifact_type: str, query: str
    ) -> ReferrersPage | None:
        with self._admissions.admission(repository, None):
            return await self._registry.list_referrers(repository, digest, artifact_type, query)

    async def get_image_config(self, repository: Repository, config: Descriptor) -> ImageConfig:
        with self._admissions.admission(repository, config.digest, RPCS["GetImageConfig"]):
            return await self._registry.get_image_config(repository, config)

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        with self._admissions.admission(repository, digest):
            await self._registry.delete_blob(repository, digest)

    async def check_tag_deletion(self, repository: Repository) -> None:
        with self._admissions.admission(repository, None):
            await self._registry.check_tag_deletion(repository)

    async def check_deletion(self, repository: Repository) -> None:
        with self._admissions.admission(repository, None):
            await self._registry.check_deletion(repository)


class _AuthorizedBlob:
    """A blob whose reader must still have the right to it when it gets the next chunk."""

    def __init__(self, blob: OpenBlob, check: Callable[[], object]) -> None:
        self._blob = blob
        self._check = check

    @property
    def size(self) -> int | None:
        return self._blob.size

    def pause(self) -> None:
        self._blob.pause()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._blob.chunks()) as chunks:
            async for chunk in chunks:
                self._check()
                yield chunk


def _allows(rights: Rights, name: Name) -> bool:
    return rights.in_repository(name.name if isinstance(name, Repository) else name.text).allowed
