"""What the gateway asks of a registry: the seam between the RPCs and the Distribution client.

Decorators (authorized, cached, coalesced) implement the same protocol around another `Registry`, so that each of them
can be left out.
"""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.download import Part
from portus_gateway.distribution.image_config import ImageConfig
from portus_gateway.distribution.manifest import Descriptor, Manifest
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.distribution.page import Cursor, Page
from portus_gateway.distribution.ping import RegistryVersion
from portus_gateway.distribution.reference import Reference
from portus_gateway.distribution.referrers import ReferrersPage

__all__ = ["Cursor", "OpenBlob", "Page", "Part", "Reference", "ReferrersPage", "Registry", "RegistryVersion"]


class OpenBlob(Protocol):
    """A blob, or a part of it, on its way from the registry."""

    @property
    def size(self) -> int | None:
        """Of the whole blob in bytes. None if the registry does not say it."""
        ...

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """The bytes, to be read once. None of the chunks is empty or larger than 1 MiB.

        Raises `DigestMismatch` at the end if all bytes of the blob were read and they are not those of the digest, and
        `Unavailable` if the download broke and could not be continued.
        """
        ...

    def pause(self) -> None:
        """Gives back what the download takes, until the next chunk is asked for. Not while one is being read."""
        ...


class Registry(Protocol):
    """One Distribution registry.

    Every method raises errors of `distribution.errors`, and only those. An empty answer means that there is nothing.
    The ambient deadline (`aio.deadline`) bounds every method.
    """

    async def ping(self) -> RegistryVersion:
        """Checks that the registry answers and accepts our credentials (GET /v2/)."""
        ...

    async def list_repositories(self, size: int | None, after: Cursor | None = None) -> Page[Repository | UnusableName]:
        """A page of at most `size` repositories in the registry's order. None: as many as the registry sends at a time.

        Raises `IncompleteListing` if there may be more than the registry can be asked for.
        """
        ...

    async def list_tags(
        self, repository: Repository, size: int | None, after: Cursor | None = None
    ) -> Page[Tag | UnusableName]:
        """A page of at most `size` tags, in the registry's order. None: as many as the registry sends at a time.

        A name in the list that is not a tag is an `UnusableName`. Raises `NotFound`, `IncompleteListing`.
        """
        ...

    async def is_in_catalog(self, repository: Repository) -> bool:
        """Whether the catalog lists the repository, asked with one request that may take two seconds.

        False: it does not, or there is no answer. Registries do not know the tags of a repository in which nothing ever
        had one: only the catalog tells it from one that does not exist.
        """
        ...

    async def resolve_manifest(
        self, repository: Repository, reference: Reference, max_staleness: float = 0
    ) -> Descriptor:
        """What `reference` points to, without its content (HEAD). Raises `NotFound`.

        `max_staleness` is the highest age of the answer in seconds. 0: the registry is asked, after this call came.
        """
        ...

    async def get_manifest(
        self,
        repository: Repository,
        reference: Reference,
        max_staleness: float = 0,
        known: Manifest | None = None,
    ) -> Manifest:
        """The manifest that `reference` points to, its bytes verified. Raises `NotFound`.

        `max_staleness` is the highest age of the answer in seconds. 0: the registry is asked, after this call came.
        `known` is a manifest that the caller has. Where `reference` still points to it, it is the answer itself, and
        the registry does not send its bytes again.
        """
        ...

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        """Deletes the manifest and all tags that point to it, without a check. Raises `NotFound`, `Unsupported`."""
        ...

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        """Deletes the tag alone, not what it points to. Raises `NotFound`.

        Raises `Unsupported` if the registry deletes by digest only, as distribution 2.8 does.
        """
        ...

    async def push_blob(self, repository: Repository, blob: bytes) -> None:
        """Stores a small blob, unless the repository has it. Raises `Denied` if our account may not push."""
        ...

    async def push_manifest(self, repository: Repository, tag: Tag, manifest: bytes, media_type: str) -> None:
        """Stores a small manifest, whose blobs have to be there, and points the tag to it. It is sent once.

        Raises `Denied` if our account may not push. If `Unavailable.sent`, or after a `RegistryFault`, the tag may have
        moved.
        """
        ...

    async def blob_exists(self, repository: Repository, digest: Digest) -> bool:
        """Whether the repository has the blob. Raises `NotFound` if there is no such repository."""
        ...

    async def get_blob(self, repository: Repository, digest: Digest) -> bytes:
        """The blob's bytes, verified. For small blobs: raises `AnswerTooLarge` above the limit for manifests.

        Raises `NotFound`; `RedirectRefused` if the registry redirects to an origin that is not allowed.
        """
        ...

    def open_blob(self, repository: Repository, digest: Digest, part: Part) -> AbstractAsyncContextManager[OpenBlob]:
        """The blob, or a part of it, to be read piece by piece within the block. It is never remembered or shared.

        Raises `NotFound`, `RangeInvalid` if the part begins behind the end, and `RedirectRefused`.
        """
        ...

    async def list_referrers(
        self, repository: Repository, digest: Digest, artifact_type: str, query: str
    ) -> ReferrersPage | None:
        """A page of what the registry's referrers API lists for `digest`. None: the registry does not have this API.

        `query` is the `next_query` of the page before; empty for the first page. The registry may ignore
        `artifact_type`; empty means all types. An unknown repository may have an empty page.
        """
        ...

    async def get_image_config(self, repository: Repository, config: Descriptor) -> ImageConfig:
        """The configuration that a manifest of the repository names by `config`, its bytes verified.

        It cannot change, so it may come from memory. Raises what `get_blob` raises.
        """
        ...

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        """Deletes the blob from the repository. Raises `NotFound`, `Unsupported`."""
        ...

    async def check_tag_deletion(self, repository: Repository) -> None:
        """Checks that the registry would delete a tag in `repository`, without deleting anything.

        Raises what `delete_tag` would raise, but for a tag that does not exist.
        """
        ...

    async def check_deletion(self, repository: Repository) -> None:
        """Checks that the registry would delete in `repository`, without deleting anything.

        Raises `Unsupported` if the registry has deletion disabled, `Denied` where our account may not delete.
        """
        ...
