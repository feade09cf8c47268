"""A registry whose every answer is canned, and which keeps what it was asked."""

from contextlib import AbstractAsyncContextManager

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import NotFound
from portus_gateway.distribution.image_config import ImageConfig
from portus_gateway.distribution.manifest import Descriptor, Manifest
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.registry.protocol import Cursor, OpenBlob, Page, Part, Reference, ReferrersPage, RegistryVersion


class FakeRegistry:
    """Has `names` for its catalog, in this order, and nothing in any of them. Its pages have `page_size` names."""

    def __init__(self, names: list[str], page_size: int = 1000) -> None:
        self.names = names
        self.page_size = page_size
        self.asked: list[str] = []

    async def ping(self) -> RegistryVersion:
        self.asked.append("ping")
        return RegistryVersion("registry/2.0")

    async def list_repositories(self, size: int | None, after: Cursor | None = None) -> Page[Repository | UnusableName]:
        self.asked.append(f"list_repositories {size} {after.name if after else ''}")
        start = 0 if after is None else self.names.index(after.name) + 1
        end = start + (size or self.page_size)
        following = Cursor("after", self.names[end - 1]) if end < len(self.names) else None
        return Page(tuple(Repository(name) for name in self.names[start:end]), following)

    async def list_tags(
        self, repository: Repository, size: int | None, after: Cursor | None = None
    ) -> Page[Tag | UnusableName]:
        raise self._nothing("list_tags", repository, "NAME_UNKNOWN")

    async def is_in_catalog(self, repository: Repository) -> bool:
        self.asked.append(f"is_in_catalog {repository}")
        return repository.name in self.names

    async def resolve_manifest(
        self, repository: Repository, reference: Reference, max_staleness: float = 0
    ) -> Descriptor:
        raise self._nothing("resolve_manifest", repository, "MANIFEST_UNKNOWN")

    async def get_manifest(
        self,
        repository: Repository,
        reference: Reference,
        max_staleness: float = 0,
        known: Manifest | None = None,
    ) -> Manifest:
        raise self._nothing("get_manifest", repository, "MANIFEST_UNKNOWN")

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        raise self._nothing("delete_manifest", repository, "MANIFEST_UNKNOWN")

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        raise self._nothing("delete_tag", repository, "MANIFEST_UNKNOWN")

    async def push_blob(self, repository: Repository, blob: bytes) -> None:
        raise self._nothing("push_blob", repository, "NAME_UNKNOWN")

    async def push_manifest(self, repository: Repository, tag: Tag, manifest: bytes, media_type: str) -> None:
        raise self._nothing("push_manifest", repository, "NAME_UNKNOWN")

    async def blob_exists(self, repository: Repository, digest: Digest) -> bool:
        raise self._nothing("blob_exists", repository, "NAME_UNKNOWN")

    async def get_blob(self, repository: Repository, digest: Digest) -> bytes:
        raise self._nothing("get_blob", repository, "BLOB_UNKNOWN")

    def open_blob(self, repository: Repository, digest: Digest, part: Part) -> AbstractAsyncContextManager[OpenBlob]:
        raise self._nothing("open_blob", repository, "BLOB_UNKNOWN")

    async def list_referrers(
        self, repository: Repository, digest: Digest, artifact_type: str, query: str
    ) -> ReferrersPage | None:
        raise self._nothing("list_referrers", repository, "NAME_UNKNOWN")

    async def get_image_config(self, repository: Repository, config: Descriptor) -> ImageConfig:
        raise self._nothing("get_image_config", repository, "BLOB_UNKNOWN")

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        raise self._nothing("delete_blob", repository, "BLOB_UNKNOWN")

    async def check_tag_deletion(self, repository: Repository) -> None:
        self.asked.append(f"check_tag_deletion {repository}")

    async def check_deletion(self, repository: Repository) -> None:
        self.asked.append(f"check_deletion {repository}")

    def _nothing(self, method: str, repository: Repository, reason: str) -> NotFound:
        self.asked.append(f"{method} {repository}")
        return NotFound(f"{method}: the registry answered 404 {reason}", reason=reason)
