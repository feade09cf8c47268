"""What the gateway refuses or ends by itself, without or instead of an answer from the registry."""

from collections.abc import Sequence

from portus_gateway.errors import FieldViolation, GatewayError


class CallError(GatewayError):
    """Base class of the errors of this module."""

    concerns_resource = False


class InvalidFields(CallError):
    """Fields of the request that are not valid: all of them, at once."""

    reason = "INVALID_FIELD"

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        super().__init__("; ".join(f"{violation.field}: {violation.description}" for violation in violations))
        self.field_violations = tuple(violations)


class TooManyCalls(CallError):
    """The gateway serves as many calls as it may."""

    reason = "TOO_MANY_CALLS"

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message, retry_after=retry_after)


class TooManyUnreadAnswers(TooManyCalls):
    """Answers that callers have not read take as much memory as they may."""


class TooManyDownloads(TooManyCalls):
    """As many blobs are read as may be, or as one caller may."""

    reason = "TOO_MANY_DOWNLOADS"


class ShuttingDown(CallError):
    """The gateway is stopping."""

    reason = "SHUTTING_DOWN"

    def __init__(self) -> None:
        super().__init__("this gateway is shutting down: try again, another one will answer")


class WaitInterrupted(CallError):
    """What the call waited for was cancelled, by something else than the call."""

    reason = "UPSTREAM_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("what this call waited for was cancelled: try again")


class Bug(CallError):
    """The gateway failed. Only its log says what happened, under the request id."""

    reason = "BUG"

    def __init__(self, request_id: str) -> None:
        super().__init__(f"the gateway failed; its log says why, under the request id {request_id}")
