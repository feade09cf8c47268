"""Remembers pages of the catalog: a page that did not change is the same object each time that it is listed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from cachetools import LRUCache

from portus_gateway.index.store import CatalogPage

Key: TypeAlias = tuple[str, str, int, bool]
"""The name that a page comes after, its prefix, its size, and whether it has tags."""


@dataclass(frozen=True, slots=True)
class KnownPage:
    """A page, and the rows of its repositories that it was made of: while these are the same, so is the page.

    `version` is that of the whole store. It is None if the store has none.
    """

    version: int | None
    rows: Sequence[Sequence[object]]
    page: CatalogPage


class KnownPages:
    """Pages with up to `most` repositories and tags together. The one that was listed longest ago leaves first."""

    def __init__(self, most: int) -> None:
        self._known: LRUCache[Key, KnownPage] = LRUCache(most, getsizeof=_size)

    def get(self, key: Key) -> KnownPage | None:
        return self._known.get(key)

    def keep(self, key: Key, known: KnownPage) -> None:
        if _size(known) <= self._known.maxsize:
            self._known[key] = known


def _size(known: KnownPage) -> int:
    page = known.page
    return 1 + len(page.repositories) + page.tags
