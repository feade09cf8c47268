"""What the audit log says about a delete that failed."""

import asyncio
from collections.abc import Iterable
from typing import Final

from portus_gateway.access.audit_log import Value
from portus_gateway.access.errors import AccessError, Hidden, PermissionDenied
from portus_gateway.aio.carried_through import SHUTDOWN
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
from portus_gateway.errors import GatewayError
from portus_gateway.operations.deletion_errors import DeletionRefused, ManifestDeletedToo, ManifestInUse

MOST_TAGS: Final = 50
"""How many tags a record names of those that a caller expects, or that prevent a delete."""

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


# The second one ends a stream of outcomes that nobody reads.
_CANCELLATIONS: Final = (asyncio.CancelledError, GeneratorExit)


def outcome_of(error: BaseException, *, validate_only: bool, approved: bool) -> str:
    """`refused`, `cancelled`, `failed`, `unknown` (it may have been deleted), or `deleted`, and more than was wanted.

    `approved`: whether all checks had passed, so that the delete may have been sent.
    """
    if isinstance(error, _REFUSALS):
        return "refused"
    if isinstance(error, ManifestDeletedToo):
        return "deleted"
    if isinstance(error, _CANCELLATIONS) and not (approved and SHUTDOWN in error.args):
        # A delete that was sent is completed. So this one was not sent, or had no effect.
        return "cancelled"
    known = isinstance(error, GatewayError) and not isinstance(error, DeleteOutcomeUnknown | DeadlineExceeded)
    # The delete may have been on its way, unless this was a trial.
    return "failed" if known or validate_only else "unknown"


def described(error: BaseException) -> dict[str, Value]:
    """The reason, the message and the tags of a record."""
    return {**reason_of(error), **_tags_of(error)}


def reason_of(error: BaseException) -> dict[str, Value]:
    """The reason and the message of a record. They can say more than the caller learns."""
    if isinstance(error, Hidden):
        return {
            "reason": PermissionDenied.reason,
            "message": "the caller may not see the repository, and got the answer that it does not exist",
        }
    if isinstance(error, GatewayError):
        return {"reason": error.reason, "message": str(error)}
    if isinstance(error, _CANCELLATIONS):
        if SHUTDOWN in error.args:
            message = "the gateway stopped before the registry had answered"
        else:
            message = "the caller went away or ran out of time before the delete was sent"
        return {"reason": "CANCELLED", "message": message}
    return {"reason": "BUG", "message": type(error).__name__}


def first_of(name: str, tags: Iterable[str]) -> dict[str, Value]:
    """The first of the tags under `name`, and how many there are if these are not all."""
    listed = list(tags)
    counted: dict[str, Value] = {f"{name}_count": len(listed)} if len(listed) > MOST_TAGS else {}
    return {name: listed[:MOST_TAGS], **counted}


def _tags_of(error: BaseException) -> dict[str, Value]:
    match error:
        case ManifestInUse():
            index_tags = (*error.index_tags, *error.unreadable_index_tags)
            return {
                **first_of("tags", error.tags),
                **(first_of("index_tags", index_tags) if index_tags else {}),
                **(first_of("kept_indexes", error.kept_indexes) if error.kept_indexes else {}),
            }
        case DeleteOutcomeUnknown():
            # All of them may be gone.
            return {"tags": list(error.tags)}
        case _:
            return {"tags": []}
