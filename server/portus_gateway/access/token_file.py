"""Static tokens, of which the gateway knows no more than their hashes."""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from portus_gateway.access.caller import Caller
from portus_gateway.access.errors import InvalidAccessFile
from portus_gateway.access.reloaded_file import ReloadedFile

_LINE: Final = re.compile(r"([A-Za-z0-9._@/-]{1,128})[ \t]+sha256:([0-9a-f]{64})")
_MOST_TOKENS: Final = 1000
# How many bytes of a hash tokens are found by. Nobody can choose them, so that how long the finding takes tells nothing
# of a token.
_FOUND_BY: Final = 4


@dataclass(frozen=True, slots=True)
class _Token:
    caller: Caller
    digest: bytes = field(repr=False)


# By the first bytes of their hashes.
_Tokens: TypeAlias = Mapping[bytes, Sequence[_Token]]


class TokenFile(ReloadedFile[_Tokens]):
    """The tokens in the file at `path`: a line for each, `<name> sha256:<hash>`; `#` begins a comment.

    A name may have several tokens, so that a new one can be given out before the old one goes. At most 1000 tokens.
    Raises `InvalidAccessFile` where there is no valid file to begin with.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, _parse)

    async def authenticate(self, token: str) -> Caller | None:
        """The caller `token:<name>`; None where the token is none of these."""
        digest = hashlib.sha256(token.encode()).digest()
        for known in self.content.get(digest[:_FOUND_BY], ()):
            if hmac.compare_digest(known.digest, digest):
                return known.caller
        return None


def _parse(content: bytes, path: str) -> _Tokens:
    problems: list[str] = []
    tokens: dict[bytes, _Token] = {}
    lines = content.decode(errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        matched = _LINE.fullmatch(text)
        if matched is None:
            # The line is not repeated: it may hold the token itself.
            problems.append(f"line {number}: not `<name> sha256:<64 lower-case hexadecimal digits>`")
            continue
        digest = bytes.fromhex(matched[2])
        if digest in tokens:
            problems.append(f"line {number}: the same token as in a line before")
        tokens[digest] = _Token(Caller.known_as("token", [f"token:{matched[1]}"]), digest)
    if len(tokens) > _MOST_TOKENS:
        problems.append(f"{len(tokens)} tokens; at most {_MOST_TOKENS} are allowed")
    if not tokens and not problems:
        problems.append("no token: nobody could call")
    if problems:
        raise InvalidAccessFile(path, problems)
    found: dict[bytes, list[_Token]] = {}
    for digest, token in tokens.items():
        found.setdefault(digest[:_FOUND_BY], []).append(token)
    return found
