"""Questions that only the index can answer: the history of a tag, and tags of all repositories."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.names import Repository, Tag, is_tag
from portus_gateway.distribution.page import Cursor, Page
from portus_gateway.index.errors import IndexDisabled, IndexNotReady, IndexUnavailable, StoreError
from portus_gateway.index.store import Change, FoundTags, IndexStore, TagEntry
from portus_gateway.operations.index_answers import Visibility

if TYPE_CHECKING:
    # Loaded only if there is an index.
    from portus_gateway.index.live_index import LiveIndex

_END: Final = 2**63 - 1
# Later than any tag: a repository that the caller may not see is left out as a whole.
_AFTER_ALL: Final = "\U0010ffff"
# How many tags that the caller may list one call looks at, and how many are read at a time.
_MOST_LOOKED_AT: Final = 20_000
_AT_ONCE: Final = 2000


@dataclass(frozen=True, slots=True)
class WantedTags:
    """What to find: tags on `digest`, or, if that is None, tags whose names contain `name_contains`."""

    digest: Digest | None
    name_contains: str
    prefix: str
    size: int
    after: Cursor | None


class IndexSearch:
    """Searches `index`, for the callers that `visibility` knows.

    Every method raises `IndexDisabled`, `IndexUnavailable`.
    """

    def __init__(self, index: "LiveIndex | None", visibility: Visibility) -> None:
        self._index = index
        self._visibility = visibility

    async def history(self, repository: Repository, tag: Tag, size: int, after: Cursor | None) -> Page[Change]:
        """A page of the changes of a tag, the latest first. Raises `Hidden`, `PermissionDenied`."""
        store = self._store
        with self._visibility.admission(repository, None):
            before = _END if after is None else int(after.name)
            try:
                changes = (await store.history(repository.name, tag.name, before, size + 1)).changes
            except StoreError as error:
                raise IndexUnavailable(str(error)) from error
        following = Cursor("indexed", str(changes[size - 1].sequence)) if len(changes) > size else None
        return Page(changes[:size], following)

    async def find(self, wanted: WantedTags) -> tuple[Page[TagEntry], float]:
        """A page of tags that the caller may list, and as of when the index knows all repositories.

        It is shorter than wanted at the end, or if many tags were looked at. Raises `IndexNotReady`.
        """
        store = self._store
        after = ("", "") if wanted.after is None else (wanted.after.name, wanted.after.query)
        found: list[TagEntry] = []
        looked_at = 0
        filters = [each for each in (self._visibility.visible(), self._visibility.tags_visible()) if each is not None]
        while True:
            try:
                rows = await _rows(store, wanted, after)
            except StoreError as error:
                raise IndexUnavailable(str(error)) from error
            if not rows.state.ready or rows.state.walk_started is None:
                raise IndexNotReady
            for entry in rows.tags:
                after = (entry.repository, entry.tag)
                if not all(may_see(entry.repository) for may_see in filters):
                    # Not counted, so that neither the length of a page nor its token tells of hidden tags.
                    after = (entry.repository, _AFTER_ALL)
                    continue
                looked_at += 1
                if _matches(entry, wanted):
                    found.append(entry)
                if len(found) == wanted.size or looked_at == _MOST_LOOKED_AT:
                    return Page(tuple(found), Cursor("indexed", *after)), rows.state.walk_started
            if len(rows.tags) < _AT_ONCE:
                return Page(tuple(found), None), rows.state.walk_started

    @property
    def _store(self) -> IndexStore:
        if self._index is None:
            raise IndexDisabled
        return self._index.store


async def _rows(store: IndexStore, wanted: WantedTags, after: tuple[str, str]) -> FoundTags:
    if wanted.digest is not None:
        return await store.find_by_digest(wanted.digest, wanted.prefix, after, _AT_ONCE)
    return await store.all_tags(wanted.prefix, after, _AT_ONCE)


def _matches(entry: TagEntry, wanted: WantedTags) -> bool:
    return wanted.name_contains in entry.tag and is_tag(entry.tag)
