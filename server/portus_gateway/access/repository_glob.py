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

    `*` matches any number of characters within one segment, also none. `**` is a whole segment and matches one or more
    segments: `team-a/**` is everything below `team-a/`, but neither `team-a` itself nor `team-a-evil/x`. `**` alone is
    every repository. All other characters match themselves. A name with an empty segment, which a registry may list and
    no repository can have, matches nothing. Raises `ValueError` for what matches no repository's name.
    """

    text: str
    _segments: tuple[str, ...] = field(init=False, repr=False, compare=False)
    # The prefix, where the pattern is only that (`team-a/**`), as most are.
    _below: str | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Every segment matches at least one character, so a longer pattern matches no name.
        if len(self.text) > REPOSITORY_MAX_LENGTH:
            raise ValueError(f"{self.text[:40]!r}… has more than {REPOSITORY_MAX_LENGTH} characters")
        segments = tuple(self.text.split("/"))
        for segment in segments:
            if not _SEGMENT.fullmatch(segment):
                raise ValueError(
                    f"{self.text!r}: {segment!r} is not a segment of a repository's name;"
                    " lower-case letters, digits, `.`, `_`, `-` and `*` may stand between slashes"
                )
            if ANY_SEGMENTS in segment and segment != ANY_SEGMENTS:
                raise ValueError(f"{self.text!r}: `**` must be a whole segment, as in `team-a/**`")
        object.__setattr__(self, "_segments", segments)
        below = self.text.removesuffix(ANY_SEGMENTS)
        object.__setattr__(self, "_below", None if "*" in below or below == self.text else below)

    @property
    def is_everything(self) -> bool:
        """Whether it matches every repository."""
        return self.text == ANY_SEGMENTS

    def matches(self, name: str) -> bool:
        """Whether a repository of this name matches."""
        if "//" in f"/{name}/":
            return False
        if self._below is not None:
            return name.startswith(self._below)
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
    """Whether `items` match `pattern`, in which `star` matches `least` or more of them.

    It goes back to the last star only, so its time is bounded by the length of the pattern times that of the name.
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
    # The rest of the pattern has nothing left to match.
    return all(part == star for part in rest) and (not rest or least == 0)
