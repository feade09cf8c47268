"""A position in the changes of an index, as clients keep it.

A cursor carries no rights: the policy is asked about each change. It names the number of a change, which says how many
changes there were in the whole registry.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Final, Self

_VERSION: Final = 1
_LONGEST: Final = 1024


@dataclass(frozen=True, slots=True)
class WatchCursor:
    """After the change `sequence` of the index `epoch`.

    `listed` is set while the current state is listed: the last repository and tag that were sent.
    """

    epoch: str
    sequence: int
    listed: tuple[str, str] | None = None

    def encode(self) -> str:
        content = json.dumps([_VERSION, self.epoch, self.sequence, self.listed], separators=(",", ":"))
        return base64.urlsafe_b64encode(content.encode()).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str) -> Self:
        """Raises `ValueError` for what is not a cursor."""
        problem = "is not a cursor of this gateway"
        if len(text) > _LONGEST:
            raise ValueError(problem)
        try:
            content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            version, epoch, sequence, listed = json.loads(content)
            position = None if listed is None else _position(*listed)
        except (binascii.Error, ValueError, TypeError, RecursionError):
            raise ValueError(problem) from None
        if version != _VERSION or not isinstance(epoch, str) or type(sequence) is not int or not 0 <= sequence < 2**63:
            raise ValueError(problem)
        return cls(epoch, sequence, position)


def _position(repository: str, tag: str) -> tuple[str, str]:
    if not isinstance(repository, str) or not isinstance(tag, str):
        raise TypeError("names are texts")
    return repository, tag
