"""A `Registry` with canned answers, which raises whatever a test wants it to, and waits for it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from portus_gateway.aio import deadline
from portus_gateway.distribution import (
    Cursor,
    Descriptor,
    Digest,
    Manifest,
    Page,
    Reference,
    RegistryVersion,
    Repository,
    Tag,
    UnusableName,
)
from portus_gateway.distribution.errors import NotFound
from portus_gateway.distribution.image_config import ImageConfig
from portus_gateway.distribution.image_config_parsing import parse_image_config
from portus_gateway.distribution.manifest import OCI_MANIFEST
from portus_gateway.distribution.manifest_parsing import parse_manifest
from portus_gateway.distribution.page import LARGEST_PAGE
from portus_gateway.registry.protocol import OpenBlob, Part, ReferrersPage
from tests.open_blobs import BlobInMemory

Item = TypeVar("Item")

Hook = Callable[[str], Awaitable[None]]
"""Is awaited before each answer, with the name of the method that is asked."""

CONFIG = b'{"os": "linux", "architecture": "amd64"}'
RAW = (
    b'{"schemaVersion": 2, "layers": [], "config": {"mediaType": "application/vnd.oci.image.config.v1+json",'
    b' "size": 40, "digest": "' + Digest.of(CONFIG).text.encode() + b'"}}'
)
DIGEST = Digest.of(RAW)
BLOB = Digest.of(b"a layer")
APP = parse_manifest(RAW, digest=DIGEST, media_type=OCI_MANIFEST)


class Gate:
    """A hook that lets nobody pass before it is opened, and tells what becomes of who waits."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.remaining: float | None = None
        """Seconds that the ambient deadline left."""

    async def __call__(self, method: str) -> None:
        self.remaining = deadline.remaining()
        self.entered.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


def raising(error: BaseException) -> Hook:
    """A hook that raises `error`."""

    async def fail(_: str) -> None:
        raise error

    return fail


async def _pass(_: str) -> None:
    """No obstacle."""


class ScriptedRegistry:
    """Every repository of `repositories` has one manifest, each of `tags` on it, and one blob, `BLOB`."""

    def __init__(
        self,
        hook: Hook = _pass,
        *,
        repositories: Sequence[Repository | UnusableName] = (Repository("team/app"),),
        tags: Sequence[str] = ("1.0",),
        manifest: Manifest = APP,
    ) -> None:
        self.asked: list[str] = []
        """The names of the methods, in the order in which they were called."""
        self.deleted: list[str] = []
        self.staleness: list[float] = []
        self._hook = hook
        self._repositories = tuple(repositories)
        self._tags: tuple[Tag | UnusableName, ...] = tuple(Tag(tag) for tag in tags)
        self._manifest = manifest

    async def ping(self) -> RegistryVersion:
        await self._ask("ping")
        return RegistryVersion("registry/2.0")

    async def list_repositories(self, size: int | None, after: Cursor | None = None) -> Page[Repository | UnusableName]:
        await self._ask("list_repositories")
        return _page(self._repositories, size, after)

    async def list_tags(
        self, repository: Repository, size: int | None, after: Cursor | None = None
    ) -> Page[Tag | UnusableName]:
        await self._ask("list_tags")
        return _page(self._tags, size, after)

    async def is_in_catalog(self, repository: Repository) -> bool:
        await self._ask("is_in_catalog")
        return repository in self._repositories

    async def resolve_manifest(
        self, repository: Repository, reference: Reference, max_staleness: float = 0
    ) -> Descriptor:
        self.staleness.append(max_staleness)
        await self._ask("resolve_manifest")
        if reference == BLOB or (isinstance(reference, Tag) and self.deleted):
            raise NotFound(f"{repository} has no manifest {reference}", reason="MANIFEST_UNKNOWN")
        return self._manifest.descriptor

    async def get_manifest(
        self,
        repository: Repository,
        reference: Reference,
        max_staleness: float = 0,
        known: Manifest | None = None,
    ) -> Manifest:
        self.staleness.append(max_staleness)
        await self._ask("get_manifest")
        return self._manifest

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        await self._ask("delete_manifest")
        self._tags = ()
        self.deleted.append(f"{repository}@{digest}")

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        await self._ask("delete_tag")
        self.deleted.append(f"{repository}:{tag}")

    async def push_blob(self, repository: Repository, blob: bytes) -> None:
        await self._ask("push_blob")

    async def push_manifest(self, repository: Repository, tag: Tag, manifest: bytes, media_type: str) -> None:
        await self._ask("push_manifest")

    async def blob_exists(self, repository: Repository, digest: Digest) -> bool:
        await self._ask("blob_exists")
        return digest == BLOB

    async def get_blob(self, repository: Repository, digest: Digest) -> bytes:
        await self._ask("get_blob")
        return b"a layer"

    @asynccontextmanager
    async def open_blob(self, repository: Repository, digest: Digest, part: Part) -> AsyncGenerator[OpenBlob, None]:
        await self._ask("open_blob")
        yield BlobInMemory(b"a layer", part, chunk=3)

    async def list_referrers(
        self, repository: Repository, digest: Digest, artifact_type: str, query: str
    ) -> ReferrersPage | None:
        await self._ask("list_referrers")
        return ReferrersPage((self._manifest.descriptor,))

    async def get_image_config(self, repository: Repository, config: Descriptor) -> ImageConfig:
        await self._ask("get_image_config")
        return parse_image_config(CONFIG)

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        await self._ask("delete_blob")
        self.deleted.append(f"{repository}@{digest}")

    async def check_tag_deletion(self, repository: Repository) -> None:
        await self._ask("check_tag_deletion")

    async def check_deletion(self, repository: Repository) -> None:
        await self._ask("check_deletion")

    async def _ask(self, method: str) -> None:
        self.asked.append(method)
        await self._hook(method)


def _page(items: Sequence[Item], size: int | None, after: Cursor | None) -> Page[Item]:
    start = [str(item) for item in items].index(after.name) + 1 if after else 0
    end = start + (size or LARGEST_PAGE)
    return Page(tuple(items[start:end]), Cursor("after", str(items[end - 1])) if end < len(items) else None)
