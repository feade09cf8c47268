"""From a registry's HTTP answer to one of our errors."""

import re

from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.error_document import ErrorDocument, is_json_object, requires_tls
from portus_gateway.distribution.errors import (
    Denied,
    DistributionError,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    RangeInvalid,
    RegistryFault,
    TooManyRequests,
    Unavailable,
    Unsupported,
    WrongAddress,
)
from portus_gateway.distribution.exchange import Answer
from portus_gateway.distribution.retry import retry_after

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
_LONGEST_TEXT = 200
_REFUSALS = frozenset({"DENIED", "UNAUTHORIZED"})
_PRECONDITION_FAILED = frozenset({409, 412, 423, 428})


def failure(answer: Answer, action: str) -> DistributionError:
    """The error for an answer that is not a success. `action` says what was asked: `get manifest v1 of team/app`."""
    stated = ErrorDocument.read(answer.body)
    if stated is None or answer.concealment.for_callers(stated.code) != stated.code:
        return _failure_without_document(answer, action)
    status, code = answer.status, stated.code
    message = f"{action}: the registry answered {status} {code}"
    detail = _plain(answer.concealment.for_operator(stated.message))
    if detail and status < 500:
        # What a registry says about its own failure may contain internal details.
        message = f"{message} ({_plain(answer.concealment.for_callers(stated.message))})"
    match status:
        case _ if status in _PRECONDITION_FAILED or _means_in_use(code):
            return PreconditionFailed(message, reason=code, operator_detail=detail)
        case 401 | 403:
            return Denied(message, operator_detail=detail)
        case 404 if code in _REFUSALS:
            # Some registries answer 404 instead of 403.
            return Denied(message, operator_detail=detail)
        case 404 if code != "UNSUPPORTED":
            return NotFound(message, reason=code)
        case 405:
            return Unsupported(message)
        case _ if code == "UNSUPPORTED":
            return Unsupported(message)
        case 416:
            return RangeInvalid(message, reason=code)
        case 429:
            return TooManyRequests(message, retry_after=retry_after(answer.headers), operator_detail=detail)
        case _ if answer.is_transient:
            return Unavailable(message, retry_after=retry_after(answer.headers), operator_detail=detail)
        case 400 | 406 | 413 | 414 | 422:
            return InvalidRequest(message, reason=code, operator_detail=detail)
        case _:
            return RegistryFault(message, operator_detail=detail)


def _failure_without_document(answer: Answer, action: str) -> DistributionError:
    """The error for an answer that a proxy, or a server that is not a registry, may have sent."""
    status = answer.status
    message = f"{action}: the registry answered {status}"
    detail = _plain(answer.concealment.for_operator(answer.body.decode(errors="replace")))
    match status:
        case 401:
            return Denied(message, operator_detail=detail)
        case 403 if is_json_object(answer.body):
            # Some registries have error documents of their own. A page is one of a proxy.
            return Denied(message, operator_detail=detail)
        case 405:
            return Unsupported(message)
        case _ if status in _PRECONDITION_FAILED:
            return PreconditionFailed(message, operator_detail=detail)
        case 416:
            return RangeInvalid(message)
        case 429:
            return TooManyRequests(message, retry_after=retry_after(answer.headers), operator_detail=detail)
        case _ if answer.is_transient:
            return Unavailable(message, retry_after=retry_after(answer.headers), operator_detail=detail)
        case _ if requires_tls(status, answer.body):
            return WrongAddress(
                "the registry uses TLS, but its configured address begins with http://", concern=Concern.REGISTRY_URL
            )
        case _ if 400 <= status < 500:
            return RegistryFault(
                f"{message} without the error document of a registry",
                operator_detail=detail,
                concern=Concern.REGISTRY_URL,
            )
        case _:
            return RegistryFault(message, operator_detail=detail)


def _means_in_use(code: str) -> bool:
    """Whether a registry's code says that something else needs what was to be deleted (Google's, Harbor's)."""
    return code.startswith("GOOGLE_MANIFEST_DANGLING_") or code in ("PRECONDITION", "PRECONDITION_FAILED", "CONFLICT")


def _plain(text: str) -> str:
    text = _UNPRINTABLE.sub(" ", text).strip()
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."
