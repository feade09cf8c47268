"""Deletes that remove only what their caller meant.

Deleting a digest deletes every tag on it (Portus #974) and breaks every index that contains it. Distribution 2.8
answers 202 to a delete of a *blob's* digest as a manifest. So the gateway checks first, and refuses if in doubt. A tag
that is pushed between the checks and the delete is deleted too: registries have no conditional delete.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

from portus_gateway.aio.carried_through import carried_through
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import DeleteOutcomeUnknown, NotFound
from portus_gateway.distribution.names import Repository
from portus_gateway.operations.batch_deletion import GuardedBatchDeletion
from portus_gateway.operations.deletion import (
    AnyDeletion,
    Approval,
    BatchDeletion,
    BlobDeletion,
    Deleted,
    ManifestDeletion,
    Outcome,
    TagDeletion,
    no_approval,
    no_approval_of_part,
)
from portus_gateway.operations.deletion_errors import DeletionDisabled, IsManifest
from portus_gateway.operations.deletion_guard import check_may_be_deleted
from portus_gateway.operations.emulated_tag_deletion import EmulatedTagDeletion
from portus_gateway.operations.manifest_dependents import ManifestDependents
from portus_gateway.operations.manifest_presence import require_manifest
from portus_gateway.operations.remaining_tags import RemainingTags
from portus_gateway.operations.tag_deletion import GuardedTagDeletion
from portus_gateway.registry.protocol import Registry


class GuardedDeletion:
    """Deletes from `registry`, if `enabled`. Asks about up to `concurrency` tags at a time."""

    def __init__(
        self, registry: Registry, enabled: bool, concurrency: int, *, emulate_tag_deletion: bool = False
    ) -> None:
        self._registry = registry
        self._enabled = enabled
        self._dependents = ManifestDependents(registry, concurrency)
        self._remaining = RemainingTags(registry, concurrency)
        emulation = EmulatedTagDeletion(registry, self._dependents) if emulate_tag_deletion else None
        self._tag_deletion = GuardedTagDeletion(registry, emulation)
        self._batch_deletion = GuardedBatchDeletion(registry, self._dependents, self._remaining, concurrency)

    async def delete(self, wanted: AnyDeletion, approved: Approval = no_approval) -> Deleted:
        """Deletes what is wanted, once all checks have passed. With `validate_only` nothing is deleted after them.

        Raises `DeletionDisabled`; `NotFound`; `Unsupported` where the registry does not delete. For a manifest, unless
        `force`, `ManifestInUse` where a tag outside `expected_tags` points to it or a tagged index contains it, and
        `UnusableTags`. A tag or an index that cannot be looked at is an error, never 'does not need it'. For a blob,
        `IsManifest` where the digest is a manifest, since some registries keep manifests among their blobs; if that
        cannot be determined, the registry's error. For a tag, what `GuardedTagDeletion` raises.
        """
        self._check_enabled()
        match wanted:
            case ManifestDeletion():
                return await self._delete_manifest(wanted, approved)
            case TagDeletion():
                return await self._tag_deletion.delete(wanted, approved)
            case BlobDeletion():
                return await self._delete_blob(wanted, approved)

    async def delete_batch(
        self, wanted: BatchDeletion, approved: Callable[[int], Awaitable[None]] = no_approval_of_part
    ) -> AsyncGenerator[Sequence[Outcome], None]:
        """Deletes the parts of a batch. The result for each is that of `delete`. Raises `DeletionDisabled`."""
        self._check_enabled()
        async with aclosing(self._batch_deletion.outcomes(wanted, approved)) as outcomes:
            async for known in outcomes:
                yield known

    def _check_enabled(self) -> None:
        if not self._enabled:
            raise DeletionDisabled(
                "this gateway does not delete. To allow deletes, its operator has to set PORTUS_ALLOW_DELETE=true"
            )

    async def _delete_manifest(self, wanted: ManifestDeletion, approved: Approval) -> Deleted:
        repository, digest = wanted.repository, wanted.digest
        await require_manifest(self._registry, repository, digest)
        dependents = await self._dependents.of(repository, digest, with_indexes=not wanted.force)
        check_may_be_deleted(wanted, dependents)
        tags = dependents.tags
        await approved()
        if wanted.validate_only:
            await self._registry.check_deletion(repository)
            return Deleted(digest=digest, tags=tags)
        try:
            await self._registry.delete_manifest(repository, digest)
            # The manifest is deleted. The check of its tags must not end with the call.
            remaining, _ = await carried_through(self._remaining.after_delete(repository, digest, tags))
        except DeleteOutcomeUnknown as unknown:
            unknown.tags = tuple(tag.name for tag in tags)
            raise
        return Deleted(digest=digest, tags=tuple(tag for tag in tags if tag not in remaining), remaining_tags=remaining)

    async def _delete_blob(self, wanted: BlobDeletion, approved: Approval) -> Deleted:
        repository, digest = wanted.repository, wanted.digest
        if await self._is_manifest(repository, digest):
            raise IsManifest(
                f"{repository}@{digest} is a manifest. Delete it with DeleteManifest, which checks its tags first"
            )
        if not await self._registry.blob_exists(repository, digest):
            raise NotFound(f"{repository} has no blob {digest}", reason="BLOB_UNKNOWN")
        await approved()
        if wanted.validate_only:
            await self._registry.check_deletion(repository)
        else:
            await self._registry.delete_blob(repository, digest)
        return Deleted(digest=digest)

    async def _is_manifest(self, repository: Repository, digest: Digest) -> bool:
        try:
            await require_manifest(self._registry, repository, digest)
        except NotFound as error:
            if error.reason == "NAME_UNKNOWN":
                raise
            return False
        return True
