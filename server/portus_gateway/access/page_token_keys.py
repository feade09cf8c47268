"""Sources of the keys that encrypt page tokens.

All replicas of a gateway need the same keys: a caller's next page may be served by another replica.
"""

import hashlib
import hmac
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol, Self

from portus_gateway.access.errors import InvalidAccessFile
from portus_gateway.access.reloaded_file import ReloadedFile
from portus_gateway.distribution.credentials import Credentials

_PURPOSE: Final = b"portus-gateway page tokens 1"
_SHORTEST: Final = 32
_MOST_KEYS: Final = 16


class PageTokenKeys(Protocol):
    """The keys in force, 32 bytes each. The first one encrypts, and all of them decrypt."""

    def current(self) -> Sequence[bytes]:
        """The keys as they are now. Raises `GatewayError` if there are none."""
        ...


class PageTokenKeyFile(ReloadedFile[tuple[bytes, ...]]):
    """The keys in the file at `path`: one on each line, at least 32 characters of random text. `#` begins a comment.

    Raises `InvalidAccessFile` if the file is not valid at the start.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, _parse)

    def current(self) -> Sequence[bytes]:
        return self.content


class PasswordKey:
    """A key that follows from the password of the registry account, which all replicas have.

    It changes with the password. Somebody who has a page token can guess passwords with it, so scrypt makes each guess
    slow.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._last: tuple[str, bytes] | None = None

    def current(self) -> Sequence[bytes]:
        password = self._credentials.current_password()
        if self._last is None or self._last[0] != password:
            salt = _PURPOSE + self._credentials.username.encode()
            self._last = password, hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32)
        return (self._last[1],)


class SecretKey:
    """A key that follows from a random secret, which one process makes and its workers share."""

    def __init__(self, secret: bytes) -> None:
        self._keys = (_derived(secret),)

    @classmethod
    def random(cls) -> Self:
        """A key that nobody else has."""
        return cls(os.urandom(_SHORTEST))

    def current(self) -> Sequence[bytes]:
        return self._keys


def _parse(content: bytes, path: str) -> tuple[bytes, ...]:
    problems: list[str] = []
    keys: list[bytes] = []
    for number, line in enumerate(content.splitlines(), 1):
        secret = line.partition(b"#")[0].strip()
        if not secret:
            continue
        if len(secret) < _SHORTEST:
            problems.append(f"line {number}: has {len(secret)} characters; a key needs at least {_SHORTEST}")
        keys.append(_derived(secret))
    if not keys:
        problems.append("has no key")
    if len(keys) > _MOST_KEYS:
        problems.append(f"has {len(keys)} keys; at most {_MOST_KEYS} are allowed")
    if problems:
        raise InvalidAccessFile(path, problems)
    return tuple(keys)


def _derived(secret: bytes) -> bytes:
    """HKDF (RFC 5869) with SHA-256, for one key of 32 bytes."""
    extracted = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(extracted, _PURPOSE + b"\x01", "sha256")
