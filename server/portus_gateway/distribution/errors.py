"""The errors of the Distribution client.

A message says who refused what and why. It is safe to show to any caller: it has no secret, no address and no account
name. Addresses and names are in `operator_detail`. `reason` is the registry's own code where it gave one
(`MANIFEST_UNKNOWN`), else one of ours (`DIGEST_MISMATCH`).
"""

import errno

from portus_gateway.distribution.concern import Concern
from portus_gateway.errors import GatewayError


class DistributionError(GatewayError):
    """Base class of all errors of this package.

    `concern` is the part of the client's configuration that may have to change, None where none has to.
    """

    reason = "UPSTREAM_ERROR"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        retry_after: float | None = None,
        operator_detail: str = "",
        concern: Concern | None = None,
    ) -> None:
        super().__init__(message, reason=reason, retry_after=retry_after, operator_detail=operator_detail)
        self.concern = concern


class InvalidName(DistributionError, ValueError):
    """A repository, tag or digest that does not match its grammar."""

    reason = "INVALID_NAME"

    def __init__(self, kind: str, text: str, grammar: str) -> None:
        shown = text if len(text) <= 80 else f"{text[:80]}…"
        super().__init__(f"{shown!r} is not a valid {kind}: {grammar}")
        self.kind = kind
        self.text = text
        self.grammar = grammar


class NotFound(DistributionError):
    """The registry answered that what was asked for does not exist (404)."""

    reason = "NOT_FOUND"


class InvalidRequest(DistributionError):
    """The registry refused the request as invalid, with an error code of its own (400, 406, 413, 414, 422)."""

    reason = "INVALID_REQUEST"


class RangeInvalid(DistributionError):
    """The registry cannot serve the requested range (416)."""

    reason = "RANGE_INVALID"


class Unsupported(DistributionError):
    """The registry does not support this, or has it disabled (405)."""

    reason = "UNSUPPORTED"


class PreconditionFailed(DistributionError):
    """The registry refuses the request in the current state (409, 412, 423, 428): something needs the content, or
    protects it.
    """

    reason = "UPSTREAM_PRECONDITION_FAILED"


class Denied(DistributionError):
    """The registry accepts our account but refuses it this action (401, 403)."""

    reason = "DENIED"


class TooManyRequests(DistributionError):
    """The registry or the token service receives too many requests (429)."""

    reason = "TOOMANYREQUESTS"


class Unavailable(DistributionError):
    """The registry or the token service cannot serve now: refused, reset, TLS, 502, 503, 504.

    `sent` is False if the request was certainly not sent, so that it cannot have had an effect.
    """

    reason = "UPSTREAM_UNAVAILABLE"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        retry_after: float | None = None,
        operator_detail: str = "",
        concern: Concern | None = None,
        sent: bool = True,
    ) -> None:
        super().__init__(
            message, reason=reason, retry_after=retry_after, operator_detail=operator_detail, concern=concern
        )
        self.sent = sent


class Unreachable(Unavailable):
    """No connection: the host name is unknown, the port refuses, TLS fails, or the connection broke."""

    reason = "UPSTREAM_UNREACHABLE"


class TooManyOpenFiles(Unavailable):
    """This process has as many files and connections open as it may. The registry was not asked."""

    reason = "TOO_MANY_OPEN_FILES"

    def __init__(self) -> None:
        super().__init__("the gateway has too many files and connections open", concern=Concern.OPEN_FILES, sent=False)

    @staticmethod
    def is_cause_of(error: OSError) -> bool:
        return error.errno in (errno.EMFILE, errno.ENFILE)


class UpstreamTimeout(Unavailable):
    """The registry or the token service took longer than `Timeouts` allows."""

    reason = "UPSTREAM_TIMEOUT"


class DeleteOutcomeUnknown(Unavailable):
    """The answer to a delete was lost, and what it should have deleted was still there afterwards.

    `tags` are the tags that pointed to it, if they are known.
    """

    reason = "DELETE_OUTCOME_UNKNOWN"
    tags: tuple[str, ...] = ()


class GatewaySetup(DistributionError):
    """The client's own account or configuration is wrong, not the caller's request."""

    reason = "UPSTREAM_SETUP"


class WrongAddress(GatewaySetup):
    """The configured address cannot be right: its scheme or its host name does not fit the server there."""


class CredentialsRejected(GatewaySetup):
    """The token service, or a registry with Basic authentication, rejects the user name and the password."""

    reason = "UPSTREAM_CREDENTIALS_REJECTED"


class RealmRefused(GatewaySetup):
    """A challenge names a realm that is neither the configured one nor the registry's own. It gets no request."""

    reason = "UPSTREAM_REALM_REFUSED"


class ChallengeUnusable(GatewaySetup):
    """The registry asks for credentials in a way that this client cannot answer."""

    reason = "UPSTREAM_CHALLENGE_UNUSABLE"


class RegistryFault(DistributionError):
    """The registry or the token service failed (500), or its answer violates the protocol."""

    reason = "UPSTREAM_ERROR"


class RedirectRefused(DistributionError):
    """The registry redirected a read of a blob to an origin that `Configuration.blob_origins` does not have.

    The origin is in `operator_detail`.
    """

    reason = "REDIRECT_REFUSED"


class IncompleteListing(DistributionError):
    """The registry may have more names than it lists, and no request can show the rest."""

    reason = "LISTING_INCOMPLETE"


class UntrustedAnswer(DistributionError):
    """An answer is not what it should be. It is never passed on as content.

    `sent` as for `Unavailable`.
    """

    reason = "UPSTREAM_ANSWER_INVALID"
    sent = True


class NotHttp(UntrustedAnswer):
    """What answers at the configured address does not speak HTTP: it is another kind of server, or needs TLS."""

    reason = "UPSTREAM_ERROR"


class DigestMismatch(UntrustedAnswer):
    """The content does not have the digest that was requested or announced."""

    reason = "DIGEST_MISMATCH"

    def __init__(self, *, expected: str, actual: str) -> None:
        super().__init__(
            f"the registry sent content with the digest {actual} instead of {expected}:"
            " the content is damaged in the registry or was changed on the way"
        )
        self.facts = {"expected": expected, "actual": actual}


class ContentUnclear(DistributionError):
    """The bytes of a document are right, but its content is ambiguous, invalid or too large. To read a manifest does
    not raise this: the bytes are the answer, and `Manifest.problem` says why they are not parsed.
    """

    reason = "CONTENT_INVALID"


class AnswerTooLarge(UntrustedAnswer):
    """An answer is larger than its kind may be. Reading stopped at the limit."""

    reason = "UPSTREAM_ANSWER_TOO_LARGE"
