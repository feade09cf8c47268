"""What access control refuses. Each message is safe to show to the caller that it is for."""

from collections.abc import Sequence

from portus_gateway.distribution.errors import NotFound, TooManyRequests
from portus_gateway.errors import GatewayError


class AccessError(GatewayError):
    """What every error of this package is, but for those that are told as another's."""

    reason = "ACCESS"


class Unauthenticated(AccessError):
    """The call shows no credential (`CREDENTIAL_MISSING`), or one that is not good (`CREDENTIAL_INVALID`)."""

    reason = "CREDENTIAL_INVALID"


class PermissionDenied(AccessError):
    """The policy does not let the caller do this."""

    reason = "POLICY_DENIED"


class Hidden(NotFound):
    """A repository that the caller may not see. It is told as one that does not exist: only logs tell them apart."""


class KeysUnavailable(AccessError):
    """The keys that tokens are checked with cannot be had now: nobody can tell whether a token is good."""

    reason = "KEYS_UNAVAILABLE"


class AuditUnavailable(AccessError):
    """The audit log cannot be written, so nothing was deleted."""

    reason = "AUDIT_FAILED"


class OutcomeNotRecorded(AccessError):
    """The delete was carried out; that it was could not be written into the audit log."""

    reason = "AUDIT_OUTCOME_NOT_RECORDED"


class CallerRateExceeded(TooManyRequests):
    """One caller calls more often than it may."""

    reason = "CALLER_RATE_EXCEEDED"


class CallerConcurrencyExceeded(TooManyRequests):
    """One caller has more calls running than it may."""

    reason = "CALLER_CONCURRENCY_EXCEEDED"


class InvalidAccessFile(ValueError):
    """A file of settings that cannot be used, with everything that is wrong with it. For its operator, at start."""

    def __init__(self, path: str, problems: Sequence[str]) -> None:
        super().__init__(f"{path}: " + "; ".join(problems))
        self.path = path
        self.problems = tuple(problems)
