"""Deletes that leave two records: one before anything is deleted, and one with the outcome."""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from portus_gateway.access.audit_log import Record, Value
from portus_gateway.access.caller import Caller
from portus_gateway.access.current_call import current_call, current_rpc
from portus_gateway.access.errors import AuditUnavailable, OutcomeNotRecorded
from portus_gateway.operations.deletion import (
    AnyDeletion,
    Deleted,
    Deletion,
    ManifestDeletion,
    TagDeletion,
    no_approval,
)
from portus_gateway.operations.deletion_audit import DeletionAudit
from portus_gateway.operations.deletion_outcome import described, first_of, outcome_of

# Bytes of a log line about an audit log that cannot be written.
_FAILURE_LINE: Final = 300

_log = structlog.get_logger(__name__)


class AuditedDeletion:
    """Does what `deletion` does, if that can be recorded. The outcome is recorded before the caller gets its answer.

    The first record is written when the call comes. If the caller's refusals have used up its budget, it is written
    only once all checks have passed; if they do not pass, the refusal is counted and not recorded.
    """

    def __init__(self, deletion: Deletion, audit: DeletionAudit) -> None:
        self._deletion = deletion
        self._audit = audit

    async def delete(self, wanted: AnyDeletion, approved: Callable[[], Awaitable[None]] = no_approval) -> Deleted:
        """Raises `AuditUnavailable`, `OutcomeNotRecorded`, and what `deletion` raises."""
        caller, rpc = current_rpc()
        attempt = _Attempt(self._audit, caller, current_call.get().peer, rpc.name, wanted)

        async def record_and_approve() -> None:
            await attempt.approve()
            await approved()

        try:
            if self._audit.may_record_refusal(caller):
                await attempt.record()
            deleted = await self._deletion.delete(wanted, record_and_approve)
        except AuditUnavailable:
            raise
        except BaseException as error:
            await attempt.failed(error)
            raise
        await attempt.succeeded(deleted)
        return deleted


class _Attempt:
    """One delete that a caller wants, and what is recorded about it."""

    def __init__(self, audit: DeletionAudit, caller: Caller, peer: str, rpc: str, wanted: AnyDeletion) -> None:
        self._audit = audit
        self._caller = caller
        self._peer = peer
        self._rpc = rpc
        self._wanted = wanted
        self._approved = False
        self._recorded = False
        self._size = 0

    async def record(self) -> None:
        """Records that a delete is wanted. Raises `AuditUnavailable`: then nothing must be deleted."""
        # From here on there must be an outcome, even if the caller disconnects while this is written.
        self._recorded = True
        try:
            self._size = await self._audit.write(self._of("attempt"))
        except OSError as error:
            _log.error("the audit log cannot be written: nothing is deleted", problem=str(error))
            # Callers can cause this line as often as they like.
            self._audit.spend(self._caller, _FAILURE_LINE)
            raise AuditUnavailable(
                "the audit log of this gateway cannot be written, so nothing was deleted. Tell the gateway's operator"
            ) from error

    async def approve(self) -> None:
        """Makes sure that the attempt is recorded: all checks have passed. Raises `AuditUnavailable`."""
        if not self._recorded:
            await self.record()
        self._approved = True

    async def succeeded(self, deleted: Deleted) -> None:
        """Records what was deleted, or would have been. Raises `OutcomeNotRecorded`, `AuditUnavailable`."""
        validate_only = self._wanted.validate_only
        remaining: dict[str, Value] = {"remaining_tags": [tag.name for tag in deleted.remaining_tags]}
        record = self._of(
            "outcome",
            outcome="validated" if validate_only else "deleted",
            digest=deleted.digest.text,
            tags=[tag.name for tag in deleted.tags],
            **(remaining if deleted.remaining_tags else {}),
        )
        try:
            await self._audit.write(record)
        except OSError as error:
            _log.error("the audit log cannot be written", problem=str(error), record=record)
            if validate_only:
                raise AuditUnavailable(
                    "the audit log of this gateway cannot be written, so it would not delete."
                    " Tell the gateway's operator"
                ) from error
            raise OutcomeNotRecorded(
                f"{_named(self._wanted)} was deleted, but the outcome could not be written to the gateway's audit log,"
                " which has the attempt. Tell the gateway's operator"
            ) from error

    async def failed(self, error: BaseException) -> None:
        """Records why nothing was deleted, or that it is unknown whether something was. Never raises: `error` goes to
        the caller.
        """
        if not self._recorded:
            self._audit.leave_out(self._caller)
            return
        outcome = outcome_of(error, validate_only=self._wanted.validate_only)
        size = await self._audit.write_if_possible(self._of("outcome", outcome=outcome, **described(error)))
        if not self._approved:
            self._audit.spend(self._caller, self._size + size)

    def _of(self, event: str, **more: Value) -> Record:
        wanted = self._wanted
        return {
            "event": event,
            "caller": self._caller.name,
            "peer": self._peer,
            "rpc": self._rpc,
            "repository": wanted.repository.name,
            **_described(wanted),
            "validate_only": wanted.validate_only,
            **more,
        }


def _described(wanted: AnyDeletion) -> dict[str, Value]:
    if isinstance(wanted, TagDeletion):
        expected = wanted.expected_digest
        return {"tag": wanted.tag.name, "expected_digest": None if expected is None else expected.text}
    expected_tags = wanted.expected_tags if isinstance(wanted, ManifestDeletion) else ()
    return {
        "digest": wanted.digest.text,
        **first_of("expected_tags", sorted(tag.name for tag in expected_tags)),
        "force": isinstance(wanted, ManifestDeletion) and wanted.force,
    }


def _named(wanted: AnyDeletion) -> str:
    if isinstance(wanted, TagDeletion):
        return f"{wanted.repository}:{wanted.tag}"
    return f"{wanted.repository}@{wanted.digest}"
