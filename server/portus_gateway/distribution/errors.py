"""The errors of the Distribution client.

Each says who refused what, why, and what to do, in a message that is safe to show to any caller: no
secret and no header of a request ever gets into one. `reason` is the machine's word for it: the registry's own
code where it gave one (`MANIFEST_UNKNOWN`), else one of ours (`DIGEST_MISMATCH`).
"""

from portus_gateway.errors import GatewayError


class DistributionError(GatewayError):
    """What every error of this package is."""

    reason = "UPSTREAM_ERROR"


class InvalidName(DistributionError, ValueError):
    """A repository, tag or digest that does not match its grammar."""

    reason = "INVALID_NAME"

    def __init__(self, kind: str, text: str, grammar: str) -> None:
        shown = text if len(text) <= 80 else f"{text[:80]}…"
        super().__init__(f"{shown!r} is no {kind}: {grammar}")
        self.kind = kind
        self.text = text
        self.grammar = grammar


class NotFound(DistributionError):
    """The registry said that what was asked for is not there (404)."""

    reason = "NOT_FOUND"


class InvalidRequest(DistributionError):
    """The registry did not understand the request (400 and the like)."""

    reason = "INVALID_REQUEST"


class RangeInvalid(DistributionError):
    """The registry cannot serve the range asked for (416)."""

    reason = "RANGE_INVALID"


class Unsupported(DistributionError):
    """The registry does not do this, or has it switched off (405)."""

    reason = "UNSUPPORTED"


class Denied(DistributionError):
    """The registry refused our account this action, with a fresh token too (401, 403)."""

    reason = "DENIED"


class TooManyRequests(DistributionError):
    """The registry or the token service is asked too often (429)."""

    reason = "TOOMANYREQUESTS"


class Unavailable(DistributionError):
    """The registry or the token service cannot serve now: refused, reset, TLS, 502, 503, 504.

    `sent` is False where the request certainly never left, so that it cannot have had an effect.
    """

    reason = "UPSTREAM_UNAVAILABLE"

    def __init__(
        self, message: str, *, reason: str | None = None, retry_after: float | None = None, sent: bool = True
    ) -> None:
        super().__init__(message, reason=reason, retry_after=retry_after)
        self.sent = sent


class Unreachable(Unavailable):
    """No connection: the name is unknown, the port refuses, TLS fails, or the connection broke."""

    reason = "UPSTREAM_UNREACHABLE"


class UpstreamTimeout(Unavailable):
    """The registry or the token service took longer than our own time-outs allow."""

    reason = "UPSTREAM_TIMEOUT"


class DeleteOutcomeUnknown(Unavailable):
    """The answer to a delete got lost, and what it should have deleted was still there afterwards.

    `tags` are those that were on it, where somebody had looked.
    """

    reason = "DELETE_OUTCOME_UNKNOWN"
    tags: tuple[str, ...] = ()


class GatewaySetup(DistributionError):
    """The fault is this client's own account or settings, not its caller's."""

    reason = "UPSTREAM_SETUP"


class CredentialsRejected(GatewaySetup):
    """The token service, or a registry with Basic authentication, rejects our user name and password."""

    reason = "UPSTREAM_CREDENTIALS_REJECTED"


class RealmRefused(GatewaySetup):
    """A challenge names a realm that is not the pinned one: the password was not sent."""

    reason = "UPSTREAM_REALM_REFUSED"


class ChallengeUnusable(GatewaySetup):
    """The registry asks for credentials in a way that we cannot answer."""

    reason = "UPSTREAM_CHALLENGE_UNUSABLE"


class RegistryFault(DistributionError):
    """The registry or the token service failed (500), or answered outside the protocol."""

    reason = "UPSTREAM_ERROR"


class UntrustedAnswer(DistributionError):
    """What came is not what it should be. It is never passed on as content."""

    reason = "UPSTREAM_ANSWER_INVALID"


class DigestMismatch(UntrustedAnswer):
    """The content's digest is not the one asked for or announced."""

    reason = "DIGEST_MISMATCH"

    def __init__(self, *, expected: str, actual: str) -> None:
        super().__init__(
            f"the registry sent content whose digest is {actual} where {expected} was due:"
            " the content is damaged in the registry or was changed on the way"
        )
        self.facts = {"expected": expected, "actual": actual}


class ContentUnclear(DistributionError):
    """The bytes of a manifest are right, and what they mean cannot be told.

    Never the outcome of a read: the bytes are the answer, with this beside them (`Manifest.problem`).
    """

    reason = "CONTENT_INVALID"


class AnswerTooLarge(UntrustedAnswer):
    """An answer went past the size that its kind may have. Reading stopped there."""

    reason = "UPSTREAM_ANSWER_TOO_LARGE"
