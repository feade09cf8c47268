"""From a registry's HTTP answer to one of our errors.

The specification says that the body is `{"errors": [{"code", "message", "detail"}]}`. Real bodies are also HTML, plain
text or empty, mostly those of a proxy.
"""

import json
import re
from dataclasses import dataclass

from portus_gateway.distribution.concern import Concern
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
)
from portus_gateway.distribution.exchange import Answer
from portus_gateway.distribution.retry import retry_after

_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,62}")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
_LONGEST_TEXT = 200
_REFUSALS = frozenset({"DENIED", "UNAUTHORIZED"})
_PRECONDITION_FAILED = frozenset({409, 412, 423, 428})


@dataclass(frozen=True, slots=True)
class RegistryError:
    """The first error that a body names, as it stands there. Both fields are empty if it names none."""

    code: str
    message: str

    @classmethod
    def of(cls, answer: Answer) -> "RegistryError":
        try:
            document = json.loads(answer.body)
            first = document["errors"][0]
            code, message = first["code"], first.get("message", "")
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
            return cls("", "")
        if not isinstance(code, str) or not _CODE.fullmatch(code) or answer.concealment.for_callers(code) != code:
            return cls("", "")
        return cls(code, message if isinstance(message, str) else "")


def failure(answer: Answer, action: str) -> DistributionError:
    """The error for an answer that is no success. `action` says what was asked: `get manifest v1 of team/app`."""
    status = answer.status
    stated = RegistryError.of(answer)
    reason = stated.code or None
    message = f"{action}: the registry answered {status} {stated.code}".rstrip()
    detail = _plain(answer.concealment.for_operator(stated.message))
    if detail and status < 500:
        # What a registry says about a failure of its own is about its inside.
        message = f"{message} ({_plain(answer.concealment.for_callers(stated.message))})"
    match status:
        case 404 if stated.code == "":
            # A proxy, or a wrong address: this is not the registry saying that something does not exist.
            return RegistryFault(f"{message} without the error document of a registry", concern=Concern.REGISTRY_URL)
        case _ if status in _PRECONDITION_FAILED or _means_in_use(stated.code):
            return PreconditionFailed(message, reason=reason, operator_detail=detail)
        case 401 | 403:
            return Denied(message, operator_detail=detail)
        case 404 if stated.code in _REFUSALS:
            # Some registries answer 404 instead of 403.
            return Denied(message, operator_detail=detail)
        case 404 if stated.code != "UNSUPPORTED":
            return NotFound(message, reason=reason)
        case 405:
            return Unsupported(message)
        case _ if stated.code == "UNSUPPORTED":
            return Unsupported(message)
        case 416:
            return RangeInvalid(message, reason=reason)
        case 429:
            return TooManyRequests(message, retry_after=retry_after(answer.headers), operator_detail=detail)
        case _ if status in (502, 503, 504) or answer.is_of_proxy:
            return Unavailable(message, retry_after=retry_after(answer.headers), operator_detail=detail)
        case 400 | 406 | 413 | 414 | 422:
            return InvalidRequest(message, reason=reason, operator_detail=detail)
        case _:
            return RegistryFault(message, operator_detail=detail)


def _means_in_use(code: str) -> bool:
    """Whether a registry's code says that something else needs what was to be deleted (Google's, Harbor's)."""
    return code.startswith("GOOGLE_MANIFEST_DANGLING_") or code in ("PRECONDITION", "PRECONDITION_FAILED", "CONFLICT")


def _plain(text: str) -> str:
    text = _UNPRINTABLE.sub(" ", text).strip()
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."
