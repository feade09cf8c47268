"""Remembers the tags of repositories: a catalog that is listed again costs one short row for each repository."""

from collections.abc import Hashable
from typing import TypeAlias

from portus_gateway.index.store import IndexedRepository

Key: TypeAlias = tuple[Hashable, Hashable, Hashable]


class KnownListings:
    """Repositories with their tags, up to `most` of both together, the oldest leaving first.

    A repository is known by its id, its fence and when it was read: every change of its tags changes one of them.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[Key, IndexedRepository] = {}
        self._size = 0

    def get(self, key: Key) -> IndexedRepository | None:
        return self._known.get(key)

    def keep(self, key: Key, repository: IndexedRepository) -> None:
        size = 1 + len(repository.tags)
        if key in self._known or size > self._most:
            return
        self._known[key] = repository
        self._size += size
        while self._size > self._most:
            oldest = next(iter(self._known))
            self._size -= 1 + len(self._known.pop(oldest).tags)
