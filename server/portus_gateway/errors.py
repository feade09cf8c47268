"""The family of errors. Each package derives its own from `GatewayError`, and `rpc.status` maps them to gRPC statuses.

An error has the details of its status as data, so that `rpc.status` needs only one row for each class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

Error = TypeVar("Error", bound=BaseException)


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """What is wrong with a field of a request (`google.rpc.BadRequest`). `field` is its name in the .proto."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class PreconditionViolation:
    """What has to change before the call can succeed (`google.rpc.PreconditionFailure`)."""

    type: str
    subject: str
    description: str = ""


class GatewayError(Exception):
    """An error that has one text for every caller, and more for the operator.

    `message` is safe to show to any caller: no secret, no address and no account name of the registry's side.
    `operator_detail` has these addresses and names, for the log; no secret either.
    `reason` is the error's code (`ErrorInfo.reason`): the registry's own code where it gave one, else one of ours.
    `retry_after` is how many seconds to wait before the next try, None if nobody said.
    """

    reason: str = "INTERNAL"
    retry_after: float | None
    facts: Mapping[str, str] = {}
    """What `ErrorInfo.metadata` says."""
    field_violations: tuple[FieldViolation, ...] = ()
    precondition_violations: tuple[PreconditionViolation, ...] = ()
    concerns_resource: bool = True
    """Whether it is about what the request names, and not about the request or the gateway itself."""

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        retry_after: float | None = None,
        operator_detail: str = "",
    ) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason
        self.retry_after = retry_after
        self.operator_detail = operator_detail


def forget_frames(error: Error) -> Error:
    """Takes the tracebacks from `error` and from the errors that led to it.

    A traceback keeps all its frames, a frame its local variables: the request, the call's context. gRPC keeps the last
    error of a call with the call, which closes a circle that only the garbage collector could break. Frames are not
    cleared here (`traceback.clear_frames`): an error that several calls share has frames of calls that still run.
    """
    waiting: list[BaseException] = [error]
    seen = set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = None
        waiting.extend(other for other in (one.__cause__, one.__context__) if other is not None)
    return error
