"""Questions that only the index can answer: the history of a tag, and tags of all repositories."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from portus_gateway.distribution.adaptive_limit import AdaptiveLimit
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
# How many tags are read at a time.
_AT_ONCE: Final = 2000
# How many tags one look for a part of a name goes through, and how many looks a call takes if its caller sees all tags.
_LOOKED_AT: Final = 20_000
_MOST_LOOKS: Final = 10
# How many looks there are at a time. They take turns between callers, so that one with many searches delays nobody.
_LOOKS_AT_ONCE: Final = 2


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
        self._looks = AdaptiveLimit(_LOOKS_AT_ONCE, wait="wait for index")

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

        It is shorter than wanted at the end, or, for a caller that sees all tags, if many were looked at. For others
        this would tell how many tags are hidden. Raises `IndexNotReady`.
        """
        store = self._store
        after = ("", "") if wanted.after is None else (wanted.after.name, wanted.after.query)
        found: list[TagEntry] = []
        filters = [each for each in (self._visibility.visible(), self._visibility.tags_visible()) if each is not None]

        def sees(repository: str) -> bool:
            return all(may_see(repository) for may_see in filters)

        looks = 0
        while True:
            rows = await self._rows(store, wanted, after)
            if not rows.state.ready or rows.state.walk_started is None:
                raise IndexNotReady
            seen = hidden = ""
            for entry in rows.tags:
                if entry.repository == hidden:
                    continue
                if entry.repository != seen:
                    if not sees(entry.repository):
                        hidden = entry.repository
                        continue
                    seen = entry.repository
                if is_tag(entry.tag):
                    found.append(entry)
                if len(found) == wanted.size:
                    return Page(tuple(found), Cursor("indexed", entry.repository, entry.tag)), rows.state.walk_started
            looks += 1
            if rows.following is None:
                return Page(tuple(found), None), rows.state.walk_started
            after = rows.following
            if not sees(after[0]):
                after = (after[0], _AFTER_ALL)
            if not filters and looks == _MOST_LOOKS:
                return Page(tuple(found), Cursor("indexed", *after)), rows.state.walk_started

    async def _rows(self, store: IndexStore, wanted: WantedTags, after: tuple[str, str]) -> FoundTags:
        try:
            if wanted.digest is not None:
                return await store.find_by_digest(wanted.digest, wanted.prefix, after, _AT_ONCE)
            async with self._looks:
                return await store.tags_containing(
                    wanted.name_contains, wanted.prefix, after, max(wanted.size, _AT_ONCE), _LOOKED_AT
                )
        except StoreError as error:
            raise IndexUnavailable(str(error)) from error

    @property
    def _store(self) -> IndexStore:
        if self._index is None:
            raise IndexDisabled
        return self._index.store
