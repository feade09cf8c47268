"""The error document of a registry, and what an answer without it means.

The specification says that the body is `{"errors": [{"code", "message", "detail"}]}`. Real bodies are also HTML, plain
text or empty, mostly those of a proxy between the client and the registry.
"""

import json
import re
from dataclasses import dataclass
from typing import Self

_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,62}")
# What proxies answer in place of a server that they gave up waiting for. 460 is of Amazon's, 499 of nginx, 520 to 530
# of Cloudflare.
_PROXY_FAILED = frozenset({408, 460, 499, 502, 503, 504, *range(520, 530)})
# How Go, nginx and Apache answer to plain HTTP on a port for TLS.
_TLS_REQUIRED = (
    b"HTTP request to an HTTPS server",
    b"plain HTTP request was sent to HTTPS port",
    b"speaking plain HTTP to an SSL-enabled server port",
)


@dataclass(frozen=True, slots=True)
class ErrorDocument:
    """The first error that a body names, as it stands there."""

    code: str
    message: str

    @classmethod
    def read(cls, body: bytes) -> Self | None:
        """None if the body is no such document."""
        try:
            first = json.loads(body)["errors"][0]
            code, message = first["code"], first.get("message", "")
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
            return None
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            return None
        return cls(code, message if isinstance(message, str) else "")


def is_json_object(body: bytes) -> bool:
    """Whether the body comes from a program with an API, and not from a proxy that shows pages to people."""
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def is_transient(status: int, body: bytes) -> bool:
    """Whether the same request may succeed a little later: a server in between failed, or it is overloaded.

    If the registry itself failed, there is an error document, or an empty answer to HEAD. Another try does not help
    then.
    """
    return status in _PROXY_FAILED or (status >= 500 and body != b"" and ErrorDocument.read(body) is None)


def requires_tls(status: int, body: bytes) -> bool:
    """Whether a server refuses plain HTTP because its port is for TLS."""
    return status == 400 and any(text in body for text in _TLS_REQUIRED)
