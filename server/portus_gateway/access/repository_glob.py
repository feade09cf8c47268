"""Patterns of repository names: `*` within a segment, `**` for whole segments."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from portus_gateway.distribution.names import REPOSITORY_MAX_LENGTH

ANY_SEGMENTS = "**"
_SEGMENT = re.compile(r"[a-z0-9._*-]+")


@dataclass(frozen=True, slots=True)
class RepositoryGlob:
    """A pattern that names some repositories.

    `*` stands for any characters within one segment, none included. `**` is a segment of its own and stands for one or
    more whole segments: `team-a/**` is all below `team-a/`, neither `team-a` itself nor `team-a-evil/x`; `**` alone is
    every repository. Anything else stands for itself. Raises `ValueError` for what can match no repository's name.
    """

    text: str
    _segments: tuple[str, ...] = field(init=False, repr=False, compare=False)
    # What a name begins with, where that is all there is to it (`team-a/**`): by far the most usual pattern.
    _below: str | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Both `**` and `*` stand for at least one character between slashes, so that a longer pattern matches nothing.
        if len(self.text) > REPOSITORY_MAX_LENGTH:
            raise ValueError(f"{self.text[:40]!r}… has more than {REPOSITORY_MAX_LENGTH} characters")
        segments = tuple(self.text.split("/"))
        for segment in segments:
            if not _SEGMENT.fullmatch(segment):
                raise ValueError(
                    f"{self.text!r}: {segment!r} is no segment of a repository's name;"
                    " lower-case letters, digits, `.`, `_`, `-` and `*` may stand between slashes"
                )
            if ANY_SEGMENTS in segment and segment != ANY_SEGMENTS:
                raise ValueError(f"{self.text!r}: `**` has to be a segment of its own, as in `team-a/**`")
        object.__setattr__(self, "_segments", segments)
        below = self.text.removesuffix(ANY_SEGMENTS)
        object.__setattr__(self, "_below", None if "*" in below or below == self.text else below)

    @property
    def is_everything(self) -> bool:
        """Whether it matches every repository."""
        return self.text == ANY_SEGMENTS

    def matches(self, name: str) -> bool:
        """Whether a repository of this name is meant."""
        if self._below is not None:
            return len(name) > len(self._below) and name.startswith(self._below)
        return _matches(self._segments, name.split("/"), ANY_SEGMENTS, _segment_matches, least=1)

    def __str__(self) -> str:
        return self.text


def _segment_matches(pattern: str, segment: str) -> bool:
    if "*" not in pattern:
        return pattern == segment
    return _matches(pattern, segment, "*", str.__eq__, least=0)


def _matches(
    pattern: Sequence[str], items: Sequence[str], star: str, equal: Callable[[str, str], bool], *, least: int
) -> bool:
    """Whether `items` are what `pattern` says, where `star` stands for `least` or more of them.

    Goes back to the last star alone, so that no name can make it slow: pattern times name is the most that it takes.
    """
    position = index = 0
    last_star = resume = -1
    while index < len(items):
        if position < len(pattern) and pattern[position] == star:
            last_star = position
            resume = index + least
            position, index = position + 1, resume
        elif position < len(pattern) and equal(pattern[position], items[index]):
            position += 1
            index += 1
        elif last_star >= 0:
            resume += 1
            position, index = last_star + 1, resume
        else:
            return False
    rest = pattern[position:]
    # What is left of the pattern has nothing left to stand for.
    return all(part == star for part in rest) and (not rest or least == 0)
