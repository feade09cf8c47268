"""The errors of access control. Each message is safe to show to the caller that it is for."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from portus_gateway.distribution.errors import NotFound, TooManyRequests
from portus_gateway.errors import GatewayError


class AccessError(GatewayError):
    """The base of this package's errors, except those that callers see as errors of another package."""

    reason = "ACCESS"


class Unauthenticated(AccessError):
    """The call has no credential (`CREDENTIAL_MISSING`), or an invalid one (`CREDENTIAL_INVALID`)."""

    reason = "CREDENTIAL_INVALID"


class PermissionDenied(AccessError):
    """The policy does not let the caller do this."""

    reason = "POLICY_DENIED"


class Hidden(NotFound):
    """A repository that the caller may not see. To the caller it does not exist; only logs tell the difference."""


class KeysUnavailable(AccessError):
    """The keys that tokens are verified with are not available, so no token can be verified."""

    reason = "KEYS_UNAVAILABLE"


class AuditUnavailable(AccessError):
    """The audit log cannot be written, so nothing was deleted."""

    reason = "AUDIT_FAILED"


class OutcomeNotRecorded(AccessError):
    """The delete was carried out, but its outcome could not be written to the audit log."""

    reason = "AUDIT_OUTCOME_NOT_RECORDED"


class CallerRateExceeded(TooManyRequests):
    """One caller calls more often than it may."""

    reason = "CALLER_RATE_EXCEEDED"


class CallerConcurrencyExceeded(TooManyRequests):
    """One caller has more calls running than it may."""

    reason = "CALLER_CONCURRENCY_EXCEEDED"


class InvalidAccessFile(ValueError):
    """A file that cannot be used, with all its mistakes. For its operator, at start."""

    def __init__(self, path: str, problems: Sequence[str]) -> None:
        super().__init__(f"{path}: " + "; ".join(problems))
        self.path = path
        self.problems = tuple(problems)


class TlsFile(Enum):
    """One of the files of the gateway's TLS."""

    CERTIFICATE = auto()
    KEY = auto()
    CLIENT_CA = auto()


@dataclass(frozen=True, slots=True)
class TlsProblem:
    """Why one of these files cannot be used."""

    file: TlsFile
    path: Path
    description: str

    def __str__(self) -> str:
        return f"{self.path}: {self.description}"


class InvalidTlsFiles(ValueError):
    """The files of the gateway's TLS cannot be used, with all mistakes. For their operator, at start."""

    def __init__(self, problems: Sequence[TlsProblem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)
