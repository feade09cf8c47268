"""A position in the changes of an index, as clients keep it.

A cursor carries no rights: the policy is asked about each change. But it names the number of a change, which says how
many changes there were in the whole registry, and it may name a tag that its caller may not see. So it is encrypted,
and its length says nothing. The key follows from the index's epoch, which only the store and the gateway know: a cursor
is valid as long as its index, at every replica.
"""

import base64
import binascii
import hmac
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

_VERSION: Final = b"\x02"
# Cursors of all versions of the gateway begin with a byte from 1 to this, exclusively. Most other texts do not.
_VERSIONS: Final = 16
# In bytes. Which index a cursor belongs to is not secret.
_INDEX: Final = 8
_NONCE: Final = 12
_TAG: Final = 16
# A position among the changes has this size, and one in the current state one of the others: all valid names fit into
# the first of them.
_CHANGE: Final = 64
_LISTED: Final = (512, 8192)
_PURPOSE: Final = b"portus-gateway watch cursors"


@dataclass(frozen=True, slots=True)
class WatchCursor:
    """After the change `sequence` of the index `epoch`.

    `listed` is set while the current state is listed: the last repository and tag that were looked at.
    """

    epoch: str
    sequence: int
    listed: tuple[str, str] | None = None

    def encode(self) -> str:
        """The cursor for clients. It is another text each time, so that it does not show whether anything changed."""
        # Loaded here because it takes long, and many processes never make a cursor.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        content = json.dumps([self.sequence, self.listed], separators=(",", ":"), ensure_ascii=False).encode()
        size = _CHANGE if self.listed is None else next(size for size in _LISTED if len(content) <= size)
        nonce = os.urandom(_NONCE)
        head = _VERSION + _index(self.epoch)
        sealed = AESGCM(_key(self.epoch)).encrypt(nonce, content.ljust(size, b"\0"), head)
        return base64.urlsafe_b64encode(head + nonce + sealed).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class SealedCursor:
    """A cursor as a client sent it, which only its index can open."""

    content: bytes

    @classmethod
    def decode(cls, text: str) -> Self:
        """Raises `ValueError` for what is not a cursor."""
        problem = "is not a cursor of this gateway"
        try:
            content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(problem) from None
        if 0 < int.from_bytes(content[:1]) < _VERSIONS and content[:1] != _VERSION:
            # The gateway was upgraded, or the upgrade was undone: its clients do not have to know how to go on.
            return cls(content)
        overhead = len(_VERSION) + _INDEX + _NONCE + _TAG
        if content[:1] != _VERSION or len(content) - overhead not in (_CHANGE, *_LISTED):
            raise ValueError(problem)
        return cls(content)

    def opened(self, epoch: str) -> WatchCursor | None:
        """The position in the index `epoch`. None if it is of another index or version, or was changed."""
        if self.content[:1] != _VERSION:
            return None
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        head, rest = self.content[: len(_VERSION) + _INDEX], self.content[len(_VERSION) + _INDEX :]
        if head[len(_VERSION) :] != _index(epoch):
            return None
        try:
            content = AESGCM(_key(epoch)).decrypt(rest[:_NONCE], rest[_NONCE:], head)
        except InvalidTag:
            return None
        sequence, listed = json.loads(content.rstrip(b"\0"))
        return WatchCursor(epoch, sequence, None if listed is None else (listed[0], listed[1]))


def _index(epoch: str) -> bytes:
    return _derived(epoch, b"index")[:_INDEX]


def _key(epoch: str) -> bytes:
    return _derived(epoch, b"key")


@lru_cache(16)
def _derived(epoch: str, use: bytes) -> bytes:
    """HKDF (RFC 5869) with SHA-256, for one key of 32 bytes."""
    extracted = hmac.digest(_PURPOSE, epoch.encode(), "sha256")
    return hmac.digest(extracted, use + b"\x01", "sha256")
