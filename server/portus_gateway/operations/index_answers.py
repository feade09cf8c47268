"""Answers from the index, if it is recent enough."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, TypeGuard

from portus_gateway.access.rpcs import RPCS, Rpc
from portus_gateway.distribution.errors import InvalidName, Unavailable
from portus_gateway.distribution.names import Repository, Tag, UnusableName, is_tag
from portus_gateway.distribution.page import Cursor, Page
from portus_gateway.distribution.reference import Reference
from portus_gateway.errors import GatewayError
from portus_gateway.index.errors import IndexUnavailable, StoreError
from portus_gateway.index.store import CLOCK_TOLERANCE, CatalogPage, CatalogRows, IndexedRepository, IndexState
from portus_gateway.index.watch_cursor import WatchCursor
from portus_gateway.operations.catalog_listing import MOST_BYTES, CatalogEntry, CatalogListing, TagNames, too_many_tags
from portus_gateway.registry.resolved_tags import ResolvedTag

if TYPE_CHECKING:
    # Loaded only if there is an index.
    from portus_gateway.index.live_index import LiveIndex

Entry: TypeAlias = CatalogEntry | IndexedRepository
"""A repository of an answer. Most are as the store has them."""
Entries: TypeAlias = CatalogPage | tuple[Entry, ...]
"""The repositories of an answer: a page as the store has it, if all of them are."""

# How many repositories one query of a stream reads, and how many a part of it has for a caller that may not see all.
_STREAM_PAGE: Final = 1024
# The bytes that a tag takes in a message in addition to its name.
_FRAME: Final = 3


class Visibility(Protocol):
    """What the caller of the current call may see (`access.admission.Admissions`)."""

    def admission(
        self, repository: Repository, reference: Reference | None, own: Rpc | None = None
    ) -> AbstractContextManager[None]: ...

    def visible(self) -> Callable[[str], bool] | None: ...

    def tags_visible(self) -> Callable[[str], bool] | None: ...


class EverythingVisible:
    """For a gateway without a policy."""

    def admission(
        self,
        repository: Repository,  # noqa: ARG002
        reference: Reference | None,  # noqa: ARG002
        own: Rpc | None = None,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        return nullcontext()

    def visible(self) -> Callable[[str], bool] | None:
        return None

    def tags_visible(self) -> Callable[[str], bool] | None:
        return None


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old an answer is at most: `as_of`, in seconds since 1970. `cursor` is where a watch continues from it."""

    as_of: float
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class IndexedTags:
    """A page of tags from the index. A tag whose digest is known well enough is a `ResolvedTag`."""

    page: Page[Tag | UnusableName]
    freshness: Freshness


@dataclass(frozen=True, slots=True)
class IndexedCatalog:
    """A page of the catalog from the index, and where it continues."""

    entries: Entries
    following: Cursor | None
    freshness: Freshness


class IndexAnswers:
    """Answers from `index` for the callers that `visibility` knows. Without an index there are none.

    Each answer is None where the index does not know, or where its knowledge is older than `max_staleness`, in seconds.
    """

    def __init__(self, index: "LiveIndex | None", visibility: Visibility, listing: CatalogListing) -> None:
        self._index = index
        self._visibility = visibility
        self._listing = listing

    async def state(self) -> IndexState | None:
        """The index's state; None where there is no index. Raises `IndexUnavailable`."""
        return None if self._index is None else await self._index.state()

    async def live(self) -> Freshness:
        """For an answer that the registry gives, to be called before it is asked."""
        now = time.time()
        try:
            state = await self.state()
        except IndexUnavailable:
            return Freshness(now)
        return Freshness(now, _cursor(state) if state is not None and state.ready else "")

    async def tags(
        self,
        repository: Repository,
        size: int,
        after: Cursor | None,
        max_staleness: float,
        *,
        digests: bool = False,
    ) -> IndexedTags | None:
        """A page of the tags of a repository. With `digests`, also what they point to, where it is recent enough.

        Raises `Hidden`, `PermissionDenied`, `Unavailable`.
        """
        if not _may_be_indexed(after, max_staleness) or self._index is None:
            check_first(after)
            return None
        with self._visibility.admission(repository, None):
            try:
                rows = await self._index.store.tags(repository.name, "" if after is None else after.name, size + 1)
            except (IndexUnavailable, StoreError):
                check_first(after)
                return None
            now = rows.state.now
            if not _is_recent(rows.read_at, now, max_staleness):
                if rows.read_at is not None:
                    await self._index.refresh([repository.name])
                check_first(after)
                return None
        as_of = rows.read_at
        items: list[Tag | UnusableName] = []
        for entry in rows.tags[:size]:
            tag, digest, checked_at = _tag(entry.tag), entry.digest, entry.checked_at
            if digests and isinstance(tag, Tag) and digest is not None and _is_recent(checked_at, now, max_staleness):
                tag = ResolvedTag(tag.name, digest)
                as_of = min(as_of, checked_at)
            items.append(tag)
        following = Cursor("indexed", str(items[-1])) if len(rows.tags) > size else None
        page = Page(tuple(items), following, place=Cursor("indexed", ""))
        return IndexedTags(page, Freshness(as_of, _cursor(rows.state)))

    def check_may_resolve(self, repository: Repository, tag: Tag) -> None:
        """Checks that the caller may know what the tag points to. Raises `Hidden`, `PermissionDenied`."""
        with self._visibility.admission(repository, tag, RPCS["ResolveManifest"]):
            pass

    async def catalog(
        self, size: int, after: Cursor | None, *, include_tags: bool, prefix: str, max_staleness: float
    ) -> IndexedCatalog | None:
        """A page of the catalog. The tags of a repository that the index read too long ago come from the registry.

        Raises `Unavailable`.
        """
        index = self._index
        if not _may_be_indexed(after, max_staleness) or index is None:
            check_first(after)
            return None
        begin = "" if after is None else after.name
        found = await self._page(index, begin, prefix, size, include_tags, max_staleness)
        if found is None:
            check_first(after)
            return None
        page, state = found
        entries, as_of = await self._entries(index, page, state, include_tags, max_staleness)
        following = Cursor("indexed", page.repositories[-1].name) if page.more else None
        return IndexedCatalog(_bounded(entries), following, Freshness(as_of, _cursor(state)))

    async def _page(
        self, index: "LiveIndex", after: str, prefix: str, size: int, include_tags: bool, max_staleness: float
    ) -> "tuple[CatalogPage, IndexState] | None":
        """The next `size` repositories that the caller may see. None: they are not known, or not well enough."""
        visible = self._visibility.visible()
        found: list[IndexedRepository] = []
        first: IndexState | None = None
        while True:
            try:
                rows = await index.store.catalog(
                    after, prefix, size if visible is None else _STREAM_PAGE, tags=include_tags
                )
            except (IndexUnavailable, StoreError):
                return None
            first = first or rows.state
            if not _is_young(first, max_staleness):
                return None
            if visible is None:
                return rows.page, first
            found += [row for row in rows.repositories if visible(row.name)]
            if len(found) > size or not rows.page.more:
                return CatalogPage(tuple(found[:size]), more=len(found) > size), first
            after = rows.repositories[-1].name

    async def stream(
        self, *, include_tags: bool, prefix: str, max_staleness: float
    ) -> "AsyncGenerator[tuple[Entries, Freshness], None] | None":
        """The whole catalog, some repositories at a time."""
        index = self._index
        if max_staleness <= 0 or index is None:
            return None
        try:
            first = await index.store.catalog("", prefix, _STREAM_PAGE, tags=include_tags)
        except (IndexUnavailable, StoreError):
            return None
        if not _is_young(first.state, max_staleness):
            return None
        return self._stream(index, first, include_tags, prefix, max_staleness)

    async def _stream(
        self, index: "LiveIndex", rows: CatalogRows, include_tags: bool, prefix: str, max_staleness: float
    ) -> "AsyncGenerator[tuple[Entries, Freshness], None]":
        # It is another text each time that it is made, and has to be the same in all messages.
        cursor = _cursor(rows.state)
        async with aclosing(self._parts(index, rows, include_tags, prefix)) as parts:
            async for part, state in parts:
                # By the clock of this part: a slow reader may take it long after the stream began.
                entries, as_of = await self._entries(index, part, state, include_tags, max_staleness)
                yield entries, Freshness(as_of, cursor)

    async def _parts(
        self, index: "LiveIndex", rows: CatalogRows, include_tags: bool, prefix: str
    ) -> AsyncGenerator[tuple[CatalogPage, IndexState], None]:
        """What the caller may see of the page `rows` and the pages after it, and the state that each part holds as of.

        If the caller may not see all, all parts but the last have the same size. If each part were what is left of a
        page, the ends of the parts would tell how many repositories are hidden.
        """
        kept: tuple[IndexedRepository, ...] = ()
        state = rows.state
        while True:
            page = rows.page
            # What is kept was there when its page was read.
            state = replace(rows.state, walk_started=state.walk_started) if kept else rows.state
            if not kept and self._visibility.visible() is None:
                yield page, state
            else:
                kept = self._seen((*kept, *page.repositories))
                if len(kept) >= _STREAM_PAGE or not page.more:
                    yield CatalogPage(kept[:_STREAM_PAGE], more=True), state
                    kept = kept[_STREAM_PAGE:]
            if not page.more:
                if kept:
                    yield CatalogPage(self._seen(kept), more=False), state
                return
            try:
                rows = await index.store.catalog(page.repositories[-1].name, prefix, _STREAM_PAGE, tags=include_tags)
            except StoreError as error:
                raise IndexUnavailable(str(error)) from error

    def _seen(self, rows: tuple[IndexedRepository, ...]) -> tuple[IndexedRepository, ...]:
        """Those that the caller may see, by the policy of now."""
        visible = self._visibility.visible()
        return rows if visible is None else tuple(row for row in rows if visible(row.name))

    async def _entries(
        self, index: "LiveIndex", page: CatalogPage, state: IndexState, include_tags: bool, max_staleness: float
    ) -> tuple[Entries, float]:
        """The entries of this page, and as of when all of them hold."""
        as_of = state.now if state.walk_started is None else state.walk_started
        rows = page.repositories
        if not include_tags:
            if page.resolved:
                return page, as_of
            return tuple(row if row.resolved else CatalogEntry(_repository(row.name), None) for row in rows), as_of
        may_list_tags = self._visibility.tags_visible()
        if may_list_tags is None and page.resolved:
            oldest, latest = page.oldest_read, page.latest_read
            if _is_recent(oldest, state.now, max_staleness) and _is_recent(latest, state.now, max_staleness):
                return page, min(as_of, oldest)
        # A row may have been written after the state was read.
        now = time.time()
        old = [row.name for row in rows if not _is_recent(row.read_at, state.now, max_staleness)]
        live = {}
        if old:
            live = await self._listing.tags_of([_repository(name) for name in old])
            await index.refresh(old)
            as_of = min(as_of, now)
        entries: list[Entry] = []
        for row in rows:
            hidden = may_list_tags is not None and not may_list_tags(row.name)
            # An unusable name has no tags that could be refused. It is among those that were asked of the registry.
            if hidden and isinstance(name := _repository(row.name), Repository):
                entries.append(CatalogEntry(name, self._refusal(name)))
            elif row.name in live:
                entries.append(live[row.name])
            else:
                as_of = as_of if row.read_at is None or row.read_at > as_of else row.read_at
                entries.append(row if row.resolved else CatalogEntry(_repository(row.name), _names(row.tags)))
        return tuple(entries), as_of

    def _refusal(self, repository: Repository) -> GatewayError:
        """The error that a live answer has in place of the tags."""
        try:
            with self._visibility.admission(repository, None):
                raise AssertionError("the policy refuses this")
        except GatewayError as error:
            return error


def _may_be_indexed(after: Cursor | None, max_staleness: float) -> bool:
    """Whether an index may answer: pages that began at the registry continue there."""
    return max_staleness > 0 and (after is None or after.kind == "indexed")


def check_first(after: Cursor | None) -> None:
    """Raises `Unavailable` for a page that only the index can continue: the registry's order is another."""
    if after is not None and after.kind == "indexed":
        raise Unavailable(
            "the index is now older than `max_staleness`, and the registry cannot continue its pages: start again with"
            " the first page",
            reason="LISTING_CHANGED",
        )


def _is_young(state: IndexState, max_staleness: float) -> bool:
    return _is_recent(state.walk_started, state.now, max_staleness)


def _is_recent(then: float | None, now: float, max_staleness: float) -> TypeGuard[float]:
    """Whether something was known, and at most so many seconds ago.

    A time in the future says nothing: it is from before the clock was set back.
    """
    return then is not None and -CLOCK_TOLERANCE <= now - then <= max_staleness


def _cursor(state: IndexState) -> str:
    return WatchCursor(state.epoch, state.head).encode()


def _repository(name: str) -> Repository | UnusableName:
    try:
        return Repository(name)
    except InvalidName as error:
        return UnusableName.of(error)


def _tag(name: str) -> Tag | UnusableName:
    try:
        return Tag(name)
    except InvalidName as error:
        return UnusableName.of(error)


def _names(tags: tuple[str, ...]) -> TagNames:
    unusable = tuple(tag for tag in tags if not is_tag(tag))
    return TagNames(tuple(filter(is_tag, tags)) if unusable else tags, unusable)


def _bounded(entries: Entries) -> Entries:
    """The entries, with an error in place of tags that do not fit into one answer."""
    if isinstance(entries, CatalogPage):
        if entries.characters + _FRAME * entries.tags <= MOST_BYTES:
            return entries
        entries = entries.repositories
    room = MOST_BYTES
    bounded: list[Entry] = []
    for entry in entries:
        tags = entry.tags
        size = 0
        if isinstance(entry, IndexedRepository):
            size = entry.characters + _FRAME * len(entry.tags)
        elif isinstance(tags, TagNames):
            size = tags.size
        if size > room:
            name = _repository(entry.name) if isinstance(entry, IndexedRepository) else entry.name
            bounded.append(CatalogEntry(name, too_many_tags("this page of the catalog")))
        else:
            room -= size
            bounded.append(entry)
    return tuple(bounded)
