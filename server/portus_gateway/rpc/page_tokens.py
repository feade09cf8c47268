"""Page tokens: where a listing goes on, in a form that callers cannot read anything into.

A token is bound to the RPC and to the arguments that it was given out for (AIP-158). The binding is a checksum, not a
signature: replicas share no secret, and a token carries neither an address nor a right, so that a forged one gains its
maker nothing that the arguments would not give as well.
"""

import base64
import binascii
import hashlib
import json

from portus_gateway.registry.protocol import Cursor

_VERSION = b"\x01"
_CHECKSUM_LENGTH = 12
# A cursor has at most 4096 characters of at most four bytes each, and base64 makes four of three.
_LONGEST = 22 * 1024

Argument = str | bool


class InvalidPageToken(ValueError):
    """A page token that is none of ours, or was given out for another RPC or other arguments."""


def encode(cursor: Cursor | None, rpc: str, *arguments: Argument) -> str:
    """The token for `cursor`; empty for None, the end of a listing."""
    if cursor is None:
        return ""
    position = json.dumps([cursor.kind, cursor.name, cursor.query]).encode()
    token = _VERSION + _checksum(position, rpc, arguments) + position
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def decode(token: str, rpc: str, *arguments: Argument) -> Cursor | None:
    """The cursor in `token`; None for the empty token, the beginning. Raises `InvalidPageToken`."""
    if not token:
        return None
    if len(token) > _LONGEST:
        raise InvalidPageToken(f"longer than {_LONGEST} characters, so it is none of this gateway's")
    try:
        content = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        version = content[:1]
        cursor = _cursor(content[1 + _CHECKSUM_LENGTH :])
    except (binascii.Error, ValueError, TypeError, RecursionError) as error:
        raise InvalidPageToken("none of this gateway's page tokens") from error
    if version != _VERSION:
        raise InvalidPageToken("none of this gateway's page tokens, or one of another version of it: begin anew")
    # The checksum is compared with this too, and base64 in any other spelling is refused.
    if encode(cursor, rpc, *arguments) != token:
        raise InvalidPageToken("not given out for these arguments: send those of the page before, or begin anew")
    return cursor


def _cursor(position: bytes) -> Cursor:
    kind, name, query = json.loads(position)
    if kind not in ("after", "sliced", "linked") or not isinstance(name, str) or not isinstance(query, str):
        raise ValueError("no cursor")
    return Cursor(kind, name, query)


def _checksum(position: bytes, rpc: str, arguments: tuple[Argument, ...]) -> bytes:
    bound = json.dumps([rpc, *arguments]).encode()
    return hashlib.sha256(bound + b"\0" + position).digest()[:_CHECKSUM_LENGTH]
