"""What a registry may have held at each time, as far as somebody knows who changes it over HTTP.

A change happens at some time between its request and the answer. All times are seconds since 1970.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

TagName = tuple[str, str]
_ALWAYS = float("-inf")
_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class _Period:
    """A tag is on `digest` (None: there is no tag): maybe from `earliest`, and surely from `latest`."""

    digest: str | None
    earliest: float
    latest: float


class RegistryHistory:
    """The tags of a registry, each with all digests that it had."""

    def __init__(self) -> None:
        self._periods: dict[TagName, list[_Period]] = {}

    @contextmanager
    def changing(self, repository: str, tags: Mapping[str, str | None]) -> Iterator[None]:
        """The block gives these tags new digests, or deletes those with None.

        If it raises, they may have their old digests or the new ones, until `found` says which.
        """
        started = time.time()
        for tag, digest in tags.items():
            self._of(repository, tag).append(_Period(digest, started, _NEVER))
        yield
        ended = time.time()
        for tag in tags:
            periods = self._of(repository, tag)
            periods[-1] = replace(periods[-1], latest=ended)

    def found(self, repository: str, tag: str, digest: str | None) -> None:
        """After a change of unknown outcome: the registry has this."""
        periods = self._of(repository, tag)
        if periods[-1].digest == digest:
            periods[-1] = replace(periods[-1], latest=time.time())
        else:
            periods.append(_Period(digest, periods[-1].earliest, time.time()))

    def tags(self, repository: str) -> dict[str, str]:
        """The tags, after the changes so far."""
        return {
            tag: periods[-1].digest
            for (owner, tag), periods in self._periods.items()
            if owner == repository and periods[-1].digest is not None
        }

    def digests(self, repository: str, tag: str, start: float, end: float) -> set[str | None]:
        """The digests that the tag may have had at some time from `start` to `end`. None: there may have been no tag.

        While a tag is moved, a registry may show none: distribution 2.8 writes a tag's file in two steps.
        """
        periods = self._periods.get((repository, tag), [_Period(None, _ALWAYS, _ALWAYS)])
        found: set[str | None] = set()
        for position, period in enumerate(periods):
            ends = periods[position + 1].latest if position + 1 < len(periods) else _NEVER
            if period.earliest <= end and ends >= start:
                found.add(period.digest)
                if period.latest >= start:
                    found.add(None)
        return found

    def surely_there(self, start: float, end: float, repositories: Iterable[str]) -> set[TagName]:
        """The tags of these repositories that were there all the time from `start` to `end`."""
        wanted = frozenset(repositories)
        return {
            (repository, tag)
            for repository, tag in self._periods
            if repository in wanted and None not in self.digests(repository, tag, start, end)
        }

    def _of(self, repository: str, tag: str) -> list[_Period]:
        return self._periods.setdefault((repository, tag), [_Period(None, _ALWAYS, _ALWAYS)])
