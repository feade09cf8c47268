"""A `Registry` in memory, for what is tested above the Distribution client: it can fail, and wait, on demand."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import NotFound
from portus_gateway.distribution.image_config import ImageConfig
from portus_gateway.distribution.image_config_parsing import parse_image_config
from portus_gateway.distribution.manifest import OCI_MANIFEST, Descriptor, Manifest
from portus_gateway.distribution.manifest_parsing import parse_manifest
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.distribution.page import LARGEST_PAGE
from portus_gateway.distribution.ping import RegistryVersion
from portus_gateway.errors import GatewayError
from portus_gateway.registry.protocol import Cursor, OpenBlob, Page, Part, Reference, ReferrersPage
from tests.open_blobs import BlobInMemory

Item = TypeVar("Item")


def manifest_of(content: str) -> Manifest:
    """A manifest whose bytes, and with them its digest, are its own."""
    raw = f'{{"schemaVersion": 2, "annotations": {{"content": "{content}"}}}}'.encode()
    return parse_manifest(raw, digest=Digest.of(raw), media_type=OCI_MANIFEST)


@dataclass
class ScriptedRegistry:
    """`repositories` maps names to tags, and those to the content of their manifests.

    A tag that begins with a dash is an unusable name. A registry without a page size sends 1000 names.
    """

    repositories: Mapping[str, dict[str, str]]
    blobs: set[Digest] = field(default_factory=set)
    contents: dict[Digest, bytes] = field(default_factory=dict)
    """Of blobs. Those that are not here are layers."""
    failures: dict[str, GatewayError] = field(default_factory=dict)
    """By what is asked for: `team/app` for its tags, `team/app:1.0`, `catalog`, `deletion`; `content` of a blob."""
    gate: asyncio.Event | None = None
    """While it is not set, no tags are answered."""
    manifest_gate: asyncio.Event | None = None
    """While it is not set, no manifests are answered."""
    catalog_gate: asyncio.Event | None = None
    """While it is not set, no page of the catalog but the first is answered."""
    deletes_tags: bool = False
    """Whether the tags of a manifest go with it when it is deleted."""
    deletes_by_name: bool = False
    """Whether a tag is gone when it was deleted."""
    deleted: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    running: int = 0
    most_running: int = 0

    async def ping(self) -> RegistryVersion:
        return RegistryVersion("registry/2.0")

    async def list_repositories(self, size: int | None, after: Cursor | None = None) -> Page[Repository | UnusableName]:
        if self.catalog_gate is not None and after is not None:
            await self.catalog_gate.wait()
        self._ask(f"catalog after {after.name if after else ''}", "catalog")
        names = sorted(self.repositories)
        return _page(names, [_named(name) for name in names], size, after)

    async def list_tags(
        self, repository: Repository, size: int | None, after: Cursor | None = None
    ) -> Page[Tag | UnusableName]:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self.gate is not None:
                await self.gate.wait()
            await asyncio.sleep(0)
            self._ask(f"tags of {repository}", repository.name)
            names = sorted(self.repositories[repository.name])
        finally:
            self.running -= 1
        return _page(names, [_tag(name) for name in names], size, after)

    async def is_in_catalog(self, repository: Repository) -> bool:
        self._ask(f"{repository} in the catalog", f"{repository} in the catalog")
        return repository.name in self.repositories

    async def resolve_manifest(
        self, repository: Repository, reference: Reference, max_staleness: float = 0
    ) -> Descriptor:
        return (await self.get_manifest(repository, reference)).descriptor

    async def get_manifest(
        self,
        repository: Repository,
        reference: Reference,
        max_staleness: float = 0,
        known: Manifest | None = None,
    ) -> Manifest:
        if self.manifest_gate is not None:
            await self.manifest_gate.wait()
        at = f"{repository}{'@' if isinstance(reference, Digest) else ':'}{reference}"
        self._ask(f"{at} unless {known.descriptor.digest}" if known else at, at)
        manifest = self._manifest(repository, reference)
        if manifest is None:
            raise NotFound(f"no manifest {at}", reason="MANIFEST_UNKNOWN")
        return known if known is not None and manifest.raw == known.raw else manifest

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        self.deleted.append(f"{repository}@{digest}")
        if self.deletes_tags:
            tags = self.repositories[repository.name]
            for tag in [tag for tag, content in tags.items() if _is(manifest_of(content), digest)]:
                del tags[tag]

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        self._ask(f"delete of {repository}:{tag}", f"delete of {repository}:{tag}")
        self.deleted.append(f"{repository}:{tag}")
        if self.deletes_by_name:
            del self.repositories[repository.name][tag.name]

    async def push_blob(self, repository: Repository, blob: bytes) -> None:
        raise NotImplementedError

    async def push_manifest(self, repository: Repository, tag: Tag, manifest: bytes, media_type: str) -> None:
        raise NotImplementedError

    async def blob_exists(self, repository: Repository, digest: Digest) -> bool:
        return digest in self.blobs

    async def get_blob(self, repository: Repository, digest: Digest) -> bytes:
        self._ask(f"content of {digest}", "content")
        return self.contents.get(digest, b"a layer")

    @asynccontextmanager
    async def open_blob(self, repository: Repository, digest: Digest, part: Part) -> AsyncGenerator[OpenBlob, None]:
        yield BlobInMemory(await self.get_blob(repository, digest), part)

    async def list_referrers(
        self, repository: Repository, digest: Digest, artifact_type: str, query: str
    ) -> ReferrersPage | None:
        self._ask(f"referrers of {repository}@{digest}", "referrers")
        return None

    async def get_image_config(self, repository: Repository, config: Descriptor) -> ImageConfig:
        return parse_image_config(await self.get_blob(repository, config.digest))

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        self.deleted.append(f"{repository}@{digest}")

    async def check_tag_deletion(self, repository: Repository) -> None:
        self._ask(f"deletion of tags in {repository}", "deletion of tags")

    async def check_deletion(self, repository: Repository) -> None:
        self._ask(f"deletion in {repository}", "deletion")

    def _manifest(self, repository: Repository, reference: Reference) -> Manifest | None:
        tags = self.repositories[repository.name]
        if isinstance(reference, Tag):
            return manifest_of(tags[reference.name]) if reference.name in tags else None
        manifests = map(manifest_of, tags.values())
        return next((one for one in manifests if reference == Digest.of(one.raw, reference.algorithm)), None)

    def _ask(self, question: str, subject: str) -> None:
        self.asked.append(question)
        if subject in self.failures:
            raise self.failures[subject]


def _is(manifest: Manifest, digest: Digest) -> bool:
    return Digest.of(manifest.raw, digest.algorithm) == digest


def _page(names: Sequence[str], items: Sequence[Item], size: int | None, after: Cursor | None) -> Page[Item]:
    start = bisect_right(names, after.name) if after else 0
    end = start + (size or LARGEST_PAGE)
    return Page(tuple(items[start:end]), Cursor("after", names[end - 1]) if end < len(names) else None)


def _tag(name: str) -> Tag | UnusableName:
    return UnusableName(name, "no tag") if name.startswith("-") else Tag(name)


def _named(name: str) -> Repository | UnusableName:
    return UnusableName(name, "no repository name") if name != name.lower() else Repository(name)
