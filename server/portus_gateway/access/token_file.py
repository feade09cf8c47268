"""Static tokens. The gateway knows only their hashes."""

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from portus_gateway.access.caller import Caller
from portus_gateway.access.errors import InvalidAccessFile, KeysUnavailable
from portus_gateway.access.reloaded_file import ReloadedFile

TRUSTED_FOR: Final = 300.0
"""For how many seconds tokens stay good after their file has become unreadable."""
_LINE: Final = re.compile(r"([A-Za-z0-9._@/-]{1,128})[ \t]+sha256:([0-9a-f]{64})")
_MOST_TOKENS: Final = 1000
# Tokens are found by so many bytes of their hashes. Nobody can choose a hash, so that the time of the search tells
# nothing of a token.
_FOUND_BY: Final = 4
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Token:
    caller: Caller
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a file, by the first bytes of their hashes, and what is wrong with its other lines."""

    found: Mapping[bytes, Sequence[_Token]]
    problems: tuple[str, ...] = ()


class TokenFile(ReloadedFile[Tokens]):
    """The tokens in the file at `path`: a line for each, `<name> sha256:<hash>`; `#` begins a comment.

    A name may have several tokens, so that a new one can be given out before the old one is withdrawn. At most 1000
    tokens. Raises `InvalidAccessFile` if a line is malformed at the start.

    Later, a malformed line gives nobody access, and all other lines count: a token whose line is gone is withdrawn,
    whatever else is in the file. An empty file withdraws all. A file that cannot be read keeps the old tokens good for
    `trusted_for` seconds.
    """

    def __init__(
        self, path: Path, *, trusted_for: float = TRUSTED_FOR, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(path, _parse, trusted_for=trusted_for, clock=clock)
        if self.content.problems:
            raise InvalidAccessFile(str(path), self.content.problems)
        if not self.content.found:
            _log.warning("the file of callers' tokens is empty: no token is good", path=str(path))

    @property
    def problems(self) -> tuple[str, ...]:
        return super().problems or self.content.problems

    async def reload(self) -> bool:
        taken = await super().reload()
        if taken and self.content.problems:
            _log.error(
                "lines of the file of callers' tokens are malformed and give nobody access; the other lines count",
                path=str(self.path),
                problems=list(self.content.problems),
            )
        return taken

    async def authenticate(self, token: str) -> Caller | None:
        """The caller `token:<name>`; None for a token that is not in the file.

        Raises `KeysUnavailable` if the file has been unreadable for too long.
        """
        if not self.trusted:
            raise KeysUnavailable(
                "the file with the callers' tokens cannot be read: the gateway's operator has to correct it"
            )
        digest = hashlib.sha256(token.encode()).digest()
        for known in self.content.found.get(digest[:_FOUND_BY], ()):
            if hmac.compare_digest(known.digest, digest):
                return known.caller
        return None


def _parse(content: bytes, path: str) -> Tokens:
    problems: list[str] = []
    tokens: dict[bytes, _Token] = {}
    for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        matched = _LINE.fullmatch(text)
        if matched is None:
            # The line is not repeated: it may hold the token itself.
            problems.append(f"line {number}: not `<name> sha256:<64 lower-case hexadecimal digits>`")
            continue
        digest = bytes.fromhex(matched[2])
        caller = Caller.known_as("token", [f"token:{matched[1]}"])
        if digest in tokens:
            problems.append(f"line {number}: the same token as in a line before")
            if tokens[digest].caller != caller:
                # One token with two names: it is unknown which one is meant.
                del tokens[digest]
            continue
        tokens[digest] = _Token(caller, digest)
    if len(tokens) > _MOST_TOKENS:
        raise InvalidAccessFile(path, [f"{len(tokens)} tokens; at most {_MOST_TOKENS} are allowed"])
    found: dict[bytes, list[_Token]] = {}
    for digest, token in tokens.items():
        found.setdefault(digest[:_FOUND_BY], []).append(token)
    return Tokens(found, tuple(problems))
