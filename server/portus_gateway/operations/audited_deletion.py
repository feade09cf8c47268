"""Deletes that leave two records: one before anything is deleted, and one with the outcome."""

from portus_gateway.access.current_call import current_call, current_rpc
from portus_gateway.access.errors import AuditUnavailable
from portus_gateway.operations.deletion import BlobDeletion, Deleted, Deletion, ManifestDeletion
from portus_gateway.operations.deletion_audit import Attempt, DeletionAudit


class AuditedDeletion:
    """Does what `deletion` does, if that can be recorded. The outcome is recorded before the caller is told."""

    def __init__(self, deletion: Deletion, audit: DeletionAudit) -> None:
        self._deletion = deletion
        self._audit = audit

    async def delete(self, wanted: ManifestDeletion | BlobDeletion) -> Deleted:
        """Raises `AuditUnavailable`, `OutcomeNotRecorded`, and what `deletion` raises."""
        caller, rpc = current_rpc()
        attempt = Attempt(caller=caller, peer=current_call.get().peer, rpc=rpc.name, wanted=wanted)
        try:
            await self._audit.attempted(attempt)
            deleted = await self._deletion.delete(wanted)
        except AuditUnavailable:
            raise
        except BaseException as error:
            await self._audit.failed(attempt, error)
            raise
        await self._audit.succeeded(attempt, deleted)
        return deleted
