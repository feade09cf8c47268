"""Page tokens: the position at which a listing continues, encrypted.

A position can contain what its caller may not see, such as a cursor of the registry. So a token can neither be read nor
made by callers, and its length tells nothing. It is bound to the RPC, to its arguments (AIP-158) and to the caller that
it was given to: the name at which it continues is one that this caller was shown.
"""

import base64
import binascii
import hmac
import json
from typing import Final

from portus_gateway.access.current_call import current_call
from portus_gateway.access.page_token_keys import PageTokenKeys
from portus_gateway.distribution.errors import RegistryFault
from portus_gateway.registry.protocol import Cursor

Argument = str | bool

_VERSION: Final = b"\x02"
_NONCE: Final = 12
# Every position after a repository or a tag fits into the first size. An unusable name, or a registry's own cursor, may
# need a larger one.
_SIZES: Final = (1024, 8192, 65536)


class InvalidPageToken(ValueError):
    """A page token that cannot be used for this request."""


class PageTokens:
    """Makes and reads the tokens of one gateway and its replicas, which have the same `keys`."""

    def __init__(self, keys: PageTokenKeys) -> None:
        self._keys = keys

    def encode(self, cursor: Cursor | None, rpc: str, *arguments: Argument) -> str:
        """The token for `cursor`. Empty for None, the end of a listing."""
        # Loaded here because it takes long, and many processes never make a token.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if cursor is None:
            return ""
        key = self._keys.current()[0]
        position, bound = _padded(cursor), _bound(rpc, arguments)
        nonce = _nonce(key, position, bound)
        return _text(_VERSION + nonce + AESGCM(key).encrypt(nonce, position, bound))

    def decode(self, token: str, rpc: str, *arguments: Argument) -> Cursor | None:
        """The cursor in `token`. None for the empty token, the beginning. Raises `InvalidPageToken`."""
        if not token:
            return None
        content = _content(token)
        bound = _bound(rpc, arguments)
        for key in self._keys.current():
            cursor = _decrypted(key, content, bound)
            if cursor is not None:
                return cursor
        raise InvalidPageToken(
            "not valid for this request. It belongs to another request or another caller, it was changed, or its key"
            " was replaced: start again with the first page"
        )


def _nonce(key: bytes, position: bytes, bound: bytes) -> bytes:
    """A nonce that only this position and binding have (a synthetic nonce, as in RFC 8452).

    So a position always has the same token: clients notice by a token that repeats that a listing has no end.
    """
    nonce_key = hmac.digest(key, b"nonce", "sha256")
    return hmac.digest(nonce_key, len(bound).to_bytes(8) + bound + position, "sha256")[:_NONCE]


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _content(token: str) -> bytes:
    foreign = InvalidPageToken(
        "not a page token of this gateway, or one of another version of it: start again with the first page"
    )
    try:
        content = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError) as error:
        raise foreign from error
    # Decoding skips other characters, and the same content can be written in several ways, of which one is ours.
    if content[:1] != _VERSION or _text(content) != token:
        raise foreign
    return content


def _decrypted(key: bytes, content: bytes, bound: bytes) -> Cursor | None:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    start = len(_VERSION) + _NONCE
    try:
        padded = AESGCM(key).decrypt(content[len(_VERSION) : start], content[start:], bound)
    except (InvalidTag, ValueError):
        return None
    kind, name, query = json.loads(padded.rstrip(b"\0"))
    return Cursor(kind, name, query)


def _padded(cursor: Cursor) -> bytes:
    # JSON in ASCII, which has no zero bytes.
    position = json.dumps([cursor.kind, cursor.name, cursor.query]).encode()
    size = next((size for size in _SIZES if len(position) <= size), None)
    if size is None:
        raise RegistryFault("the registry lists a name that is too long for a page to end with it")
    return position.ljust(size, b"\0")


def _bound(rpc: str, arguments: tuple[Argument, ...]) -> bytes:
    """What a token is only valid with."""
    call = current_call.get(None)
    caller = None if call is None or call.known_caller is None else call.known_caller.name
    return json.dumps([rpc, caller, *arguments]).encode()
