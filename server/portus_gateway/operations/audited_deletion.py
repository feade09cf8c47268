"""Deletes that leave two records: one before anything is deleted, and one with the outcome."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final

import structlog

from portus_gateway.access.audit_log import Record, Value
from portus_gateway.access.caller import Caller
from portus_gateway.access.current_call import current_call, current_rpc
from portus_gateway.access.errors import AuditUnavailable, OutcomeNotRecorded
from portus_gateway.operations.deletion import (
    AnyDeletion,
    Approval,
    BatchDeletion,
    Deleted,
    Deletion,
    ManifestDeletion,
    Outcome,
    TagDeletion,
    no_approval,
    no_approval_of_part,
)
from portus_gateway.operations.deletion_audit import DeletionAudit
from portus_gateway.operations.deletion_outcome import described, first_of, outcome_of

# Bytes of a log line about an audit log that cannot be written.
_FAILURE_LINE: Final = 300
_UNWRITABLE: Final = "the audit log of this gateway cannot be written"
_TELL: Final = "Tell the gateway's operator"

_log = structlog.get_logger(__name__)


class AuditedDeletion:
    """Does what `deletion` does, if that can be recorded. The outcome is recorded before the caller gets its answer.

    The first record is written when the call comes. If the caller's refusals have used up its budget, it is written
    only once all checks have passed; if they do not pass, the refusal is counted and not recorded.
    """

    def __init__(self, deletion: Deletion, audit: DeletionAudit) -> None:
        self._deletion = deletion
        self._audit = audit

    async def delete(self, wanted: AnyDeletion, approved: Approval = no_approval) -> Deleted:
        """Raises `AuditUnavailable`, `OutcomeNotRecorded`, and what `deletion` raises."""
        caller, rpc = current_rpc()
        attempt = _Attempt(self._audit, caller, current_call.get().peer, rpc.name, wanted)

        async def record_and_approve(*, emulated: bool = False) -> None:
            await attempt.approve(emulated=emulated)
            await approved(emulated=emulated)

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

    async def delete_batch(
        self, wanted: BatchDeletion, approved: Callable[[int], Awaitable[None]] = no_approval_of_part
    ) -> AsyncGenerator[Sequence[Outcome], None]:
        """Each part has its records. What `delete` raises is an outcome.

        Raises `AuditUnavailable` if the attempts cannot be recorded, and what `deletion` raises.
        """
        caller, rpc = current_rpc()
        attempts = [_Attempt(self._audit, caller, current_call.get().peer, rpc.name, part) for part in wanted.parts]
        waiting = dict(enumerate(attempts))
        failure: Exception | None = None

        async def record_and_approve(part: int) -> None:
            if failure is not None:
                raise AuditUnavailable(f"{_UNWRITABLE}, so nothing more was deleted. {_TELL}") from failure
            await attempts[part].approve()
            await approved(part)

        try:
            for attempt in attempts:
                if self._audit.may_record_refusal(caller):
                    await attempt.record()
            async with aclosing(self._deletion.delete_batch(wanted, record_and_approve)) as outcomes:
                async for known in outcomes:
                    recorded: list[Outcome] = []
                    for outcome in known:
                        try:
                            await waiting.pop(outcome.part).record_outcome(outcome.result)
                        except (AuditUnavailable, OutcomeNotRecorded) as error:
                            failure = error
                            recorded.append(Outcome(outcome.part, error))
                        else:
                            recorded.append(outcome)
                    yield recorded
        except AuditUnavailable:
            raise
        except BaseException as error:
            for attempt in waiting.values():
                await attempt.failed(error)
            raise


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
        self._emulated = False
        self._size = 0

    async def record(self) -> None:
        """Records that a delete is wanted. Raises `AuditUnavailable`: then nothing must be deleted."""
        # From here on there must be an outcome, even if the caller disconnects while this is written.
        self._recorded = True
        try:
            self._size += await self._audit.write(self._of("attempt"))
        except OSError as error:
            _log.error("the audit log cannot be written: nothing is deleted", problem=str(error))
            # Callers can cause this line as often as they like.
            self._audit.spend(self._caller, _FAILURE_LINE)
            raise AuditUnavailable(f"{_UNWRITABLE}, so nothing was deleted. {_TELL}") from error

    async def approve(self, *, emulated: bool = False) -> None:
        """Makes sure that the attempt is recorded: all checks have passed. Raises `AuditUnavailable`.

        That it is emulated is recorded in any case.
        """
        self._emulated = emulated
        if emulated or not self._recorded:
            await self.record()
        self._approved = True

    async def record_outcome(self, result: Deleted | Exception) -> None:
        """Records what came of a part of a batch. Raises as `succeeded` does."""
        if isinstance(result, Deleted):
            await self.succeeded(result)
        elif not isinstance(result, AuditUnavailable):
            await self.failed(result)

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
                raise AuditUnavailable(f"{_UNWRITABLE}, so it would not delete. {_TELL}") from error
            raise OutcomeNotRecorded(
                f"{_named(self._wanted)} was deleted, but the outcome could not be written to the gateway's audit log,"
                f" which has the attempt. {_TELL}"
            ) from error

    async def failed(self, error: BaseException) -> None:
        """Records why nothing was deleted, or that it is unknown whether something was. Never raises: `error` goes to
        the caller.
        """
        if not self._recorded:
            self._audit.leave_out(self._caller)
            return
        outcome = outcome_of(error, validate_only=self._wanted.validate_only, approved=self._approved)
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
            **({"emulated": True} if self._emulated else {}),
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
