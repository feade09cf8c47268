"""The names of things in a registry, valid by construction.

The grammar is that of the OCI distribution specification 1.1 ("Pulling manifests") and of distribution's
`reference` package. A value of these types can stand in a URL as it is.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from portus_gateway.distribution.errors import InvalidName

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")

REPOSITORY_MAX_LENGTH = 255


@dataclass(frozen=True, slots=True, order=True)
class Repository:
    """The name of a repository: `team/app`, at most 255 characters.

    Raises `InvalidName` for anything else.
    """

    name: str

    def __post_init__(self) -> None:
        # The length first: the pattern never sees more than it has to.
        if len(self.name) > REPOSITORY_MAX_LENGTH or not _REPOSITORY.fullmatch(self.name):
            raise InvalidName(
                "repository",
                self.name,
                "lower-case letters and digits, separated by one of `.`, `_`, `__`, dashes or `/`;"
                f" at most {REPOSITORY_MAX_LENGTH} characters",
            )

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, order=True)
class Tag:
    """A tag: `v1.2`, at most 128 characters.

    Raises `InvalidName` for anything else.
    """

    name: str

    def __post_init__(self) -> None:
        if not _TAG.fullmatch(self.name):
            raise InvalidName(
                "tag",
                self.name,
                "letters, digits, `_`, `.` and `-`, the first one none of `.` and `-`; at most 128 characters",
            )

    def __str__(self) -> str:
        return self.name


def is_tag(text: str) -> bool:
    """Whether `text` is a valid tag."""
    return _TAG.fullmatch(text) is not None


# The same tags are in many repositories and in many requests. A look-up is faster than a check.
known_tag = lru_cache(4096)(Tag)


@dataclass(frozen=True, slots=True)
class UnusableName:
    """A name in a registry's list that is not valid for its kind: it is shown, but nothing is asked about it."""

    text: str
    reason: str

    @classmethod
    def of(cls, error: InvalidName) -> Self:
        return cls(text=error.text, reason=str(error))

    def __str__(self) -> str:
        return self.text
