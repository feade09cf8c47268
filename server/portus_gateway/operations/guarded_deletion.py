"""Deletes that take away nothing but what their caller meant.

Deleting a digest takes every tag on it (Portus #974), and distribution 2.8 answers 202 to a delete of a *blob's*
digest as a manifest. So the gateway looks first, and any doubt refuses the delete. Between the look and the delete
somebody may push a tag: a registry has no compare-and-delete, so that window stays; it is as short as it can be.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import aclosing
from typing import Protocol

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import DeleteOutcomeUnknown, NotFound, RegistryFault
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.distribution.paging import walk
from portus_gateway.errors import GatewayError, PreconditionViolation
from portus_gateway.registry.protocol import Registry

_PAGE = 1000
_MOST_NAMED = 10


class DeletionRefused(GatewayError):
    """A delete that the guard refused. Nothing was deleted."""

    reason = "DELETION_REFUSED"


class Tagged(DeletionRefused):
    """The digest has tags that the caller did not expect; deleting it would delete them too (Portus #974)."""

    reason = "TAGGED"

    def __init__(self, message: str, *, tags: Sequence[str]) -> None:
        super().__init__(message)
        self.tags = tuple(tags)
        self.facts = {"tags": str(len(self.tags))}
        self.precondition_violations = tuple(PreconditionViolation(self.reason, tag) for tag in self.tags)


class IsManifest(DeletionRefused):
    """DeleteBlob was given the digest of a manifest."""

    reason = "IS_MANIFEST"


class DeletionDisabled(DeletionRefused):
    """This gateway does not delete."""

    reason = "DELETION_DISABLED"


class Deletion(Protocol):
    """What `GuardedDeletion` does, for whoever wraps it."""

    async def delete_manifest(
        self,
        repository: Repository,
        digest: Digest,
        *,
        expected_tags: Collection[Tag],
        force: bool,
        validate_only: bool,
    ) -> tuple[Tag, ...]: ...

    async def delete_blob(self, repository: Repository, digest: Digest, *, validate_only: bool) -> None: ...


class GuardedDeletion:
    """Deletes from `registry`, if `enabled`. Asks about up to `concurrency` tags at a time."""

    def __init__(self, registry: Registry, enabled: bool, concurrency: int) -> None:
        self._registry = registry
        self._enabled = enabled
        self._concurrency = concurrency

    async def delete_manifest(
        self,
        repository: Repository,
        digest: Digest,
        *,
        expected_tags: Collection[Tag],
        force: bool,
        validate_only: bool,
    ) -> tuple[Tag, ...]:
        """Deletes the manifest, and answers with the tags that went with it, in lexical order.

        Raises `DeletionDisabled`; `NotFound` where there is no such manifest; `Tagged` where a tag outside
        `expected_tags` points to it, unless `force`; `Unsupported` where the registry does not delete. With
        `validate_only` all of that, and nothing is deleted. A tag that cannot be looked at is an error, never
        'not on it'.
        """
        self._check_enabled()
        await self._resolve(repository, digest)
        tags = await self._tags_on(repository, digest)
        unexpected = [tag for tag in tags if tag not in expected_tags]
        if unexpected and not force:
            raise Tagged(_tagged(repository, digest, unexpected), tags=[tag.name for tag in unexpected])
        if validate_only:
            await self._registry.check_deletion(repository)
        else:
            try:
                await self._registry.delete_manifest(repository, digest)
            except DeleteOutcomeUnknown as unknown:
                unknown.tags = tuple(tag.name for tag in tags)
                raise
        return tags

    async def delete_blob(self, repository: Repository, digest: Digest, *, validate_only: bool) -> None:
        """Deletes the blob from the repository.

        Raises `DeletionDisabled`, `NotFound`, `Unsupported`; `IsManifest` where the digest is a manifest's, which the
        registry keeps among its blobs. With `validate_only` all of that, and nothing is deleted.
        """
        self._check_enabled()
        if await self._is_manifest(repository, digest):
            raise IsManifest(
                f"{repository}@{digest} is a manifest: delete it with DeleteManifest, which looks at its tags"
            )
        if not await self._registry.blob_exists(repository, digest):
            raise NotFound(f"{repository} has no blob {digest}", reason="BLOB_UNKNOWN")
        if validate_only:
            await self._registry.check_deletion(repository)
        else:
            await self._registry.delete_blob(repository, digest)

    def _check_enabled(self) -> None:
        if not self._enabled:
            raise DeletionDisabled("this gateway does not delete: its operator has not set PORTUS_ALLOW_DELETE=true")

    async def _is_manifest(self, repository: Repository, digest: Digest) -> bool:
        try:
            await self._resolve(repository, digest)
        except NotFound as error:
            if error.reason == "NAME_UNKNOWN":
                raise
            return False
        return True

    async def _resolve(self, repository: Repository, digest: Digest) -> None:
        """Makes sure that there is such a manifest. Raises `NotFound`, also where the digest is a blob's."""
        try:
            await self._registry.resolve_manifest(repository, digest)
        except RegistryFault as error:
            # Distribution 2.8 answers 500 for a blob's digest, which it tries to read as a manifest.
            if not await self._registry.blob_exists(repository, digest):
                raise
            raise NotFound(f"{repository}@{digest} is a blob, no manifest", reason="MANIFEST_UNKNOWN") from error

    async def _tags_on(self, repository: Repository, digest: Digest) -> tuple[Tag, ...]:
        found: list[Tag] = []
        async with aclosing(walk(lambda cursor: self._registry.list_tags(repository, _PAGE, cursor))) as pages:
            async for page in pages:
                found.extend(await self._pointing_to(repository, digest, page.items))
        return tuple(sorted(found))

    async def _pointing_to(self, repository: Repository, digest: Digest, tags: tuple[Tag, ...]) -> list[Tag]:
        waiting = iter(tags)
        found: list[Tag] = []

        async def look() -> None:
            for tag in waiting:
                found.extend([tag] if await self._points_to(repository, tag, digest) else [])

        lookers = [asyncio.ensure_future(look()) for _ in range(min(self._concurrency, len(tags)))]
        try:
            await asyncio.gather(*lookers)
        finally:
            for looker in lookers:
                looker.cancel()
            await asyncio.gather(*lookers, return_exceptions=True)
        return found

    async def _points_to(self, repository: Repository, tag: Tag, digest: Digest) -> bool:
        try:
            descriptor = await self._registry.resolve_manifest(repository, tag)
        except NotFound:
            # It was listed: either it went since, or it is a tag that points to nothing. Neither is on the digest.
            return False
        if descriptor.digest.algorithm == digest.algorithm:
            return descriptor.digest == digest
        # One manifest has a digest in each algorithm: only its bytes tell.
        manifest = await self._registry.get_manifest(repository, descriptor.digest)
        return Digest.of(manifest.raw, digest.algorithm) == digest


def _tagged(repository: Repository, digest: Digest, tags: list[Tag]) -> str:
    named = ", ".join(tag.name for tag in tags[:_MOST_NAMED])
    more = f" and {len(tags) - _MOST_NAMED} more" if len(tags) > _MOST_NAMED else ""
    return (
        f"{repository}@{digest} has tags that would go with it: {named}{more}."
        " Name them in expected_tags if that is meant, or set force"
    )
