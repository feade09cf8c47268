"""What this side refuses or ends by itself, without or instead of an answer from the registry."""

from collections.abc import Sequence
from dataclasses import dataclass


class CallError(Exception):
    """What every error of this side is. Its message is safe to show to any caller."""

    reason = "BUG"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """What is wrong with a field of a request. `field` is its name in the .proto."""

    field: str
    description: str


class InvalidFields(CallError):
    """Fields of the request that are not what they have to be: all of them, at once."""

    reason = "INVALID_FIELD"

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        super().__init__("; ".join(f"{violation.field}: {violation.description}" for violation in violations))
        self.violations = tuple(violations)


class TooManyCalls(CallError):
    """The gateway serves as many calls as it may. `retry_after` is in seconds."""

    reason = "TOO_MANY_CALLS"

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ShuttingDown(CallError):
    """The gateway is stopping."""

    reason = "SHUTTING_DOWN"

    def __init__(self) -> None:
        super().__init__("this gateway is shutting down: try again, another one will answer")


class Bug(CallError):
    """The gateway failed. What happened is in its log alone, under the request's id."""

    reason = "BUG"

    def __init__(self, request_id: str) -> None:
        super().__init__(f"the gateway failed; its log says why, under the request id {request_id}")
