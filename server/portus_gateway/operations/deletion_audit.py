"""What the audit log says of deletes, and of those that were refused at the door."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import structlog

from portus_gateway.access.audit_log import AuditLog, Record, Value
from portus_gateway.access.caller import NOBODY, Caller
from portus_gateway.access.caller_limits import CallerLimits
from portus_gateway.access.errors import (
    AccessError,
    AuditUnavailable,
    CallerRateExceeded,
    Hidden,
    KeysUnavailable,
    OutcomeNotRecorded,
    PermissionDenied,
    Unauthenticated,
)
from portus_gateway.aio.carried_through import BREAK_OFF
from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.distribution.errors import (
    DeleteOutcomeUnknown,
    Denied,
    IncompleteListing,
    NotFound,
    PreconditionFailed,
    TooManyRequests,
    Unsupported,
)
from portus_gateway.distribution.names import Tag
from portus_gateway.errors import GatewayError
from portus_gateway.operations.deletion import BlobDeletion, Deleted, ManifestDeletion
from portus_gateway.operations.deletion_errors import DeletionRefused, ManifestInUse

# Whoever has no credential, or calls too often, could fill the disk with refusals, and so stop all deletes.
_REFUSALS_A_SECOND: Final = 10.0
_REFUSALS_AT_ONCE: Final = 100
_LONGEST_TEXT: Final = 300
_REFUSALS: Final = (
    AccessError,
    DeletionRefused,
    Denied,
    IncompleteListing,
    NotFound,
    PreconditionFailed,
    Unsupported,
    TooManyRequests,
)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A delete that a caller wants, and the call that it comes with."""

    caller: Caller
    peer: str
    rpc: str
    wanted: ManifestDeletion | BlobDeletion

    @property
    def what(self) -> str:
        """What is to be deleted, for messages."""
        return f"{self.wanted.repository}@{self.wanted.digest}"


@runtime_checkable
class _NamesContent(Protocol):
    """A request for a delete, in whatever form."""

    repository: str
    digest: str


class DeletionAudit:
    """Writes records of deletes to `log`. `request_id` says which call is being served."""

    def __init__(self, log: AuditLog, request_id: Callable[[], str]) -> None:
        self._log = log
        self._request_id = request_id
        self._at_the_door = CallerLimits(rate=_REFUSALS_A_SECOND, burst=_REFUSALS_AT_ONCE)
        self._unrecorded = 0

    async def attempted(self, attempt: Attempt) -> None:
        """Records that a delete is about to be tried. Raises `AuditUnavailable`: then it must not be."""
        try:
            await self._log.write(self._of(attempt, "attempt"))
        except OSError as error:
            _log.error("the audit log cannot be written: nothing is deleted", problem=str(error))
            raise AuditUnavailable(
                "the audit log of this gateway cannot be written, so nothing was deleted. Tell the gateway's operator"
            ) from error

    async def succeeded(self, attempt: Attempt, deleted: Deleted) -> None:
        """Records what was deleted, or would have been. Raises `OutcomeNotRecorded`, `AuditUnavailable`."""
        validate_only = attempt.wanted.validate_only
        record = self._of(
            attempt,
            "outcome",
            outcome="validated" if validate_only else "deleted",
            tags=_names(deleted.tags),
            **({"remaining_tags": _names(deleted.remaining_tags)} if deleted.remaining_tags else {}),
        )
        try:
            await self._log.write(record)
        except OSError as error:
            _log.error("the audit log cannot be written", problem=str(error), record=record)
            if validate_only:
                raise AuditUnavailable(
                    "the audit log of this gateway cannot be written, so it would not delete."
                    " Tell the gateway's operator"
                ) from error
            raise OutcomeNotRecorded(
                f"{attempt.what} was deleted, but the outcome could not be written to the gateway's audit log, which"
                " has the attempt. Tell the gateway's operator"
            ) from error

    async def failed(self, attempt: Attempt, error: BaseException) -> None:
        """Records why nothing was deleted, or that nobody knows whether. Never raises: `error` goes to the caller."""
        record = self._of(
            attempt,
            "outcome",
            outcome=_outcome(attempt, error),
            **_description(error),
            **_tags(error),
        )
        await self._write_if_possible(record)

    async def refused(self, caller: Caller | None, peer: str, rpc: str, request: object, error: GatewayError) -> None:
        """Records a delete that was refused before it was looked at. Never raises: `error` goes to the caller.

        Of those without a good credential, and of those too many, 10 a second are recorded; `unrecorded` counts the
        others in the next record.
        """
        if isinstance(error, Unauthenticated | KeysUnavailable | TooManyRequests):
            try:
                self._at_the_door.enter(NOBODY)
            except CallerRateExceeded:
                self._unrecorded += 1
                return
        record: dict[str, Value] = {
            "event": "refused",
            "request_id": self._request_id(),
            "caller": None if caller is None else caller.name,
            "peer": peer,
            "rpc": rpc,
            "outcome": "refused",
            **_description(error),
        }
        if isinstance(request, _NamesContent):
            # As it came: it was not looked at.
            record["repository"] = request.repository[:_LONGEST_TEXT]
            record["digest"] = request.digest[:_LONGEST_TEXT]
        if self._unrecorded:
            record["unrecorded"] = self._unrecorded
            self._unrecorded = 0
        await self._write_if_possible(record)

    def _of(self, attempt: Attempt, event: str, **more: Value) -> Record:
        wanted = attempt.wanted
        expected_tags = wanted.expected_tags if isinstance(wanted, ManifestDeletion) else ()
        return {
            "event": event,
            "request_id": self._request_id(),
            "caller": attempt.caller.name,
            "peer": attempt.peer,
            "rpc": attempt.rpc,
            "repository": wanted.repository.name,
            "digest": wanted.digest.text,
            "expected_tags": _names(sorted(expected_tags)),
            "force": isinstance(wanted, ManifestDeletion) and wanted.force,
            "validate_only": wanted.validate_only,
            **more,
        }

    async def _write_if_possible(self, record: Record) -> None:
        try:
            await self._log.write(record)
        except OSError as error:
            _log.error("the audit log cannot be written", problem=str(error), record=record)


def _names(tags: Iterable[Tag]) -> list[str]:
    return [tag.name for tag in tags]


def _outcome(attempt: Attempt, error: BaseException) -> str:
    if isinstance(error, _REFUSALS):
        return "refused"
    if isinstance(error, asyncio.CancelledError) and BREAK_OFF not in error.args:
        # A delete on its way is carried through: this one was not sent, or came to nothing.
        return "cancelled"
    known = isinstance(error, GatewayError) and not isinstance(error, DeleteOutcomeUnknown | DeadlineExceeded)
    # The delete may have been on its way, unless this was a trial.
    return "failed" if known or attempt.wanted.validate_only else "unknown"


def _tags(error: BaseException) -> dict[str, Value]:
    match error:
        case ManifestInUse():
            index_tags = [*error.index_tags, *error.unreadable_index_tags]
            return {"tags": list(error.tags), **({"index_tags": index_tags} if index_tags else {})}
        case DeleteOutcomeUnknown():
            return {"tags": list(error.tags)}
        case _:
            return {"tags": []}


def _description(error: BaseException) -> dict[str, Value]:
    if isinstance(error, Hidden):
        return {
            "reason": PermissionDenied.reason,
            "message": "the caller may not see the repository: it was told that there is none",
        }
    if isinstance(error, GatewayError):
        return {"reason": error.reason, "message": str(error)}
    if isinstance(error, asyncio.CancelledError):
        if BREAK_OFF in error.args:
            message = "the gateway stopped before the registry had answered"
        else:
            message = "the caller went away or ran out of time before the delete was sent"
        return {"reason": "CANCELLED", "message": message}
    return {"reason": "BUG", "message": type(error).__name__}
