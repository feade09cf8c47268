"""The catalog with tags: the tags of many repositories at a time, in order, with bounded memory.

Portus listed one repository after the other, which took minutes (#663), and read a failure as 'no tags' (#1232).
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from portus_gateway.distribution.errors import DeadlineExceeded, DistributionError
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.distribution.paging import walk
from portus_gateway.registry import Cursor, Page, Registry

Result = TypeVar("Result")

LARGEST_PAGE = 1000
# A repository goes to the caller in one message.
MOST_TAGS_OF_REPOSITORY = 50_000
# So does a whole page: some 8 MiB of tags at the usual length.
MOST_TAGS_OF_PAGE = 200_000
# How many pages without any match one call looks through.
_MOST_EMPTY_PAGES = 32


class TooManyTags(DistributionError):
    """More tags than one answer can carry. They are there: ListTags has them, a page at a time."""

    reason = "TOO_MANY_TAGS"


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A repository of the catalog.

    `tags`: in lexical order; an error where they are unknown; None where they were not asked for, or where the
    registry's name for the repository is unusable, so that nothing can be asked about it.
    """

    name: Repository | UnusableName
    tags: tuple[Tag, ...] | DistributionError | None


class CatalogListing:
    """Lists the catalog of `registry`, with the tags of up to `concurrency` repositories in flight."""

    def __init__(self, registry: Registry, concurrency: int) -> None:
        self._registry = registry
        self._concurrency = concurrency

    async def page(self, size: int, after: Cursor | None, *, include_tags: bool, prefix: str) -> Page[CatalogEntry]:
        """A page of at most `size` (1 to 1000) repositories whose names begin with `prefix`.

        It may be short, or even empty, and not be the last.
        """
        for _ in range(_MOST_EMPTY_PAGES):
            page = await self._registry.list_repositories(size, after)
            names = _beginning_with(prefix, page.items)
            after = page.next
            if names or after is None:
                break
        entries: list[CatalogEntry] = []
        room = MOST_TAGS_OF_PAGE
        async with aclosing(self._entries(_each(names), include_tags)) as described:
            async for entry in described:
                room -= len(entry.tags) if isinstance(entry.tags, tuple) else 0
                entries.append(
                    entry if room >= 0 else CatalogEntry(entry.name, _too_many("the page has", MOST_TAGS_OF_PAGE))
                )
        return Page(tuple(entries), after)

    async def stream(self, *, include_tags: bool, prefix: str) -> AsyncGenerator[CatalogEntry, None]:
        """All repositories whose names begin with `prefix`, each as soon as it is known.

        The next page is fetched while the tags of this one are listed. No more than two pages of names and a few
        repositories' tags are held at a time, however slowly the caller reads.
        """
        async with aclosing(self._names(prefix)) as names, aclosing(self._entries(names, include_tags)) as entries:
            async for entry in entries:
                yield entry

    async def _names(self, prefix: str) -> AsyncGenerator[Repository | UnusableName, None]:
        pages = walk(lambda cursor: self._registry.list_repositories(LARGEST_PAGE, cursor))
        following = _ahead(anext(pages, None))
        try:
            while (page := await following) is not None:
                following = _ahead(anext(pages, None))
                for name in _beginning_with(prefix, page.items):
                    yield name
        finally:
            await _end([following])
            await pages.aclose()

    async def _entries(
        self, names: AsyncIterator[Repository | UnusableName], include_tags: bool
    ) -> AsyncGenerator[CatalogEntry, None]:
        if not include_tags:
            async for name in names:
                yield CatalogEntry(name, None)
            return
        # In order: the first of these is the next one out. While the caller takes it the others go on.
        running: deque[asyncio.Future[CatalogEntry]] = deque()
        try:
            async for name in names:
                running.append(_ahead(self._described(name)))
                while running and (len(running) >= 2 * self._concurrency or running[0].done()):
                    yield await running[0]
                    running.popleft()
            while running:
                yield await running[0]
                running.popleft()
        finally:
            await _end(running)

    async def _described(self, name: Repository | UnusableName) -> CatalogEntry:
        if isinstance(name, UnusableName):
            return CatalogEntry(name, DistributionError(name.reason, reason="UNUSABLE_NAME"))
        try:
            return CatalogEntry(name, await self._tags(name))
        except DeadlineExceeded:
            raise
        except DistributionError as error:
            # Unknown is not empty, and one repository's failure is not the catalog's (Portus #1232, #1599).
            return CatalogEntry(name, error)

    async def _tags(self, repository: Repository) -> tuple[Tag, ...]:
        tags: list[Tag] = []
        async with aclosing(walk(lambda cursor: self._registry.list_tags(repository, LARGEST_PAGE, cursor))) as pages:
            async for page in pages:
                tags.extend(page.items)
                if len(tags) > MOST_TAGS_OF_REPOSITORY:
                    raise _too_many(f"{repository} has", MOST_TAGS_OF_REPOSITORY)
        return tuple(sorted(tags))


def _beginning_with(prefix: str, names: Iterable[Repository | UnusableName]) -> tuple[Repository | UnusableName, ...]:
    return tuple(
        name for name in names if (name.name if isinstance(name, Repository) else name.text).startswith(prefix)
    )


def _too_many(subject: str, limit: int) -> TooManyTags:
    return TooManyTags(
        f"{subject} more than {limit} tags, too many for one answer: ListTags lists them a page at a time"
    )


def _ahead(work: Awaitable[Result]) -> "asyncio.Future[Result]":
    return asyncio.ensure_future(work)


async def _end(tasks: "Iterable[asyncio.Future[Result]]") -> None:
    ended = tuple(tasks)
    for task in ended:
        task.cancel()
    # Their failures, too, end here: whoever would have been told is gone.
    await asyncio.gather(*ended, return_exceptions=True)


async def _each(names: Iterable[Repository | UnusableName]) -> AsyncGenerator[Repository | UnusableName, None]:
    for name in names:
        yield name
