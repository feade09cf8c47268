"""The tags of one repository from the index, with as much about each as the caller wants.

The index knows the names and their digests. What it does not know, the sizes, dates and platforms of images, belongs to
a digest and cannot change: it comes from the cache, or from the registry once.
"""

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import Unavailable
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.operations.index_answers import Freshness, IndexAnswers, check_first
from portus_gateway.operations.tag_details import View
from portus_gateway.operations.tag_listing import Listed, Name, TagListing, WantedTags
from portus_gateway.registry.protocol import Cursor, Page
from portus_gateway.registry.resolved_tags import ResolvedTag


class IndexedTagListing:
    """Lists tags as `listing` does, with their names and digests from `answers`."""

    def __init__(self, answers: IndexAnswers, listing: TagListing) -> None:
        self._answers = answers
        self._listing = listing

    async def page(self, wanted: WantedTags) -> tuple[Page[Listed], Freshness] | None:
        """The page, and how old it is. None: the index does not know the repository, or not well enough.

        A tag whose digest was checked too long ago is asked of the registry. Raises what `TagListing.page` raises, and
        `Unavailable` for a page that only the index can continue.
        """
        names = _IndexedNames(self._answers, wanted)
        try:
            page = await self._listing.page(wanted, names)
        except _TooOldError:
            check_first(wanted.after)
            return None
        if names.freshness is None:
            raise AssertionError("a listing has a page")
        return page, names.freshness


class _TooOldError(Exception):
    """The index cannot answer."""


class _IndexedNames:
    """A `TagSource`. `freshness` is that of everything it has answered."""

    def __init__(self, answers: IndexAnswers, wanted: WantedTags) -> None:
        self._answers = answers
        self._wanted = wanted
        self.freshness: Freshness | None = None

    async def page(self, repository: Repository, size: int, after: Cursor | None) -> Page[Name]:
        wanted = self._wanted
        try:
            found = await self._answers.tags(
                repository,
                size,
                after,
                wanted.max_staleness,
                digests=wanted.digest is not None or wanted.view is not View.NAMES,
            )
        except Unavailable as error:
            raise _TooOldError from error
        if found is None:
            raise _TooOldError
        # A watch that continues from the first page sees all that changes after it.
        first = self.freshness or found.freshness
        self.freshness = Freshness(min(first.as_of, found.freshness.as_of), first.cursor)
        return found.page

    def digest_of(self, tag: Tag) -> Digest | None:
        if not isinstance(tag, ResolvedTag):
            return None
        self._answers.check_may_resolve(self._wanted.repository, tag)
        return tag.digest
