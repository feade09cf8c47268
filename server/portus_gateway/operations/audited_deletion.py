"""Deletes that leave a record: one before anything is deleted, and one of what became of it."""

from collections.abc import Collection

from portus_gateway.access.current_call import current_call, current_rpc
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.operations.deletion_audit import Attempt, DeletionAudit
from portus_gateway.operations.guarded_deletion import Deletion


class AuditedDeletion:
    """Does what `deletion` does, if that can be recorded; what became of it is recorded before anybody is told."""

    def __init__(self, deletion: Deletion, audit: DeletionAudit) -> None:
        self._deletion = deletion
        self._audit = audit

    async def delete_manifest(
        self,
        repository: Repository,
        digest: Digest,
        *,
        expected_tags: Collection[Tag],
        force: bool,
        validate_only: bool,
    ) -> tuple[Tag, ...]:
        """Raises `AuditUnavailable`, `OutcomeNotRecorded`, and what `deletion` raises."""
        caller, rpc = current_rpc()
        attempt = Attempt(
            caller=caller,
            peer=current_call.get().peer,
            rpc=rpc.name,
            repository=repository,
            digest=digest,
            expected_tags=tuple(sorted(expected_tags)),
            force=force,
            validate_only=validate_only,
        )
        await self._audit.attempted(attempt)
        try:
            tags = await self._deletion.delete_manifest(
                repository, digest, expected_tags=expected_tags, force=force, validate_only=validate_only
            )
        except BaseException as error:
            await self._audit.failed(attempt, error)
            raise
        await self._audit.succeeded(attempt, tags)
        return tags

    async def delete_blob(self, repository: Repository, digest: Digest, *, validate_only: bool) -> None:
        """Raises `AuditUnavailable`, `OutcomeNotRecorded`, and what `deletion` raises."""
        caller, rpc = current_rpc()
        attempt = Attempt(
            caller=caller,
            peer=current_call.get().peer,
            rpc=rpc.name,
            repository=repository,
            digest=digest,
            validate_only=validate_only,
        )
        await self._audit.attempted(attempt)
        try:
            await self._deletion.delete_blob(repository, digest, validate_only=validate_only)
        except BaseException as error:
            await self._audit.failed(attempt, error)
            raise
        await self._audit.succeeded(attempt, ())
