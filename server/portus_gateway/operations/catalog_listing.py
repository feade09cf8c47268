"""The catalog with tags: the tags of many repositories at a time, in order, with bounded memory.

Portus listed one repository after the other, which took minutes (#663), and read a failure as 'no tags' (#1232).
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias, TypeVar

from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.distribution.paging import walk
from portus_gateway.errors import GatewayError
from portus_gateway.registry.protocol import Cursor, Page, Registry

Result = TypeVar("Result")
Names: TypeAlias = "tuple[Repository | UnusableName, ...]"

LARGEST_PAGE = 1000
# A repository goes to the caller in one message, and so does a whole page. gRPC's clients take 4 MiB unless told.
MOST_BYTES = 3 * 1024 * 1024
# What a tag takes in a message besides its name.
_FRAME = 3
# How many pages without any match one call looks through.
_MOST_EMPTY_PAGES = 32


class TooManyTags(GatewayError):
    """More tags than one answer can carry. They are there: ListTags has them, a page at a time."""

    reason = "TOO_MANY_TAGS"


class UnusableRepositoryName(GatewayError):
    """The registry lists a name that is not valid for a repository, so nothing can be asked about it."""

    reason = "UNUSABLE_NAME"


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A repository of the catalog.

    `tags`: in lexical order; an error where they are unknown; None where they were not asked for, or where the
    registry's name for the repository is unusable, so that nothing can be asked about it.
    """

    name: Repository | UnusableName
    tags: tuple[Tag, ...] | GatewayError | None


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
        room = MOST_BYTES
        async with aclosing(self._entries(_only(names), include_tags)) as described:
            async for entry in described:
                size = _size(entry.tags) if isinstance(entry.tags, tuple) else 0
                if size > room:
                    entries.append(CatalogEntry(entry.name, _too_many("this page of the catalog")))
                else:
                    entries.append(entry)
                    room -= size
        return Page(tuple(entries), after)

    async def stream(self, *, include_tags: bool, prefix: str) -> AsyncGenerator[CatalogEntry, None]:
        """All repositories whose names begin with `prefix`, each as soon as it is known.

        The next page is fetched while the tags of this one are listed. No more than two pages of names and a few
        repositories' tags are held at a time, however slowly the caller reads.
        """
        pages = walk(lambda cursor: self._registry.list_repositories(LARGEST_PAGE, cursor))
        async with aclosing(pages), aclosing(self._entries(_matching(prefix, pages), include_tags)) as entries:
            async for entry in entries:
                yield entry

    async def _entries(
        self, pages: AsyncGenerator[Names, None], include_tags: bool
    ) -> AsyncGenerator[CatalogEntry, None]:
        waiting: deque[Repository | UnusableName] = deque()
        # In order: the first of these is the next one out. While the caller takes it the others go on.
        running: deque[asyncio.Future[CatalogEntry]] = deque()
        following: asyncio.Future[Names | None] | None = _ahead(anext(pages, None))
        try:
            while following is not None or waiting or running:
                if not include_tags:
                    for name in waiting:
                        yield CatalogEntry(name, None)
                    waiting.clear()
                while waiting and len(running) < 2 * self._concurrency:
                    running.append(_ahead(self._described(waiting.popleft())))
                if running and (following is None or waiting or running[0].done() or _failed(following)):
                    # Nothing but this can go on; or it is known, and goes out before an error does.
                    entry = await running[0]
                    running.popleft()
                    yield entry
                elif following is not None and following.done():
                    page = following.result()
                    following = None if page is None else _ahead(anext(pages, None))
                    waiting.extend(page or ())
                elif following is not None:
                    awaited: list[asyncio.Future[CatalogEntry] | asyncio.Future[Names | None]] = [*list(running)[:1]]
                    await asyncio.wait([*awaited, following], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(running)
            await _end([] if following is None else [following])
            await pages.aclose()

    async def _described(self, name: Repository | UnusableName) -> CatalogEntry:
        if isinstance(name, UnusableName):
            return CatalogEntry(name, UnusableRepositoryName(name.reason))
        try:
            return CatalogEntry(name, await self._tags(name))
        except DeadlineExceeded:
            raise
        except GatewayError as error:
            # Unknown is not empty, and one repository's failure is not the catalog's (Portus #1232, #1599).
            return CatalogEntry(name, error)

    async def _tags(self, repository: Repository) -> tuple[Tag, ...]:
        tags: list[Tag] = []
        size = 0
        async with aclosing(walk(lambda cursor: self._registry.list_tags(repository, LARGEST_PAGE, cursor))) as pages:
            async for page in pages:
                tags.extend(page.items)
                size += _size(page.items)
                if size > MOST_BYTES:
                    raise _too_many(str(repository))
        return tuple(sorted(tags, key=attrgetter("name")))


def _beginning_with(prefix: str, names: Iterable[Repository | UnusableName]) -> tuple[Repository | UnusableName, ...]:
    return tuple(
        name for name in names if (name.name if isinstance(name, Repository) else name.text).startswith(prefix)
    )


def _size(tags: Sequence[Tag]) -> int:
    """How many bytes tags take in a message, about."""
    return sum(len(tag.name) for tag in tags) + _FRAME * len(tags)


def _too_many(subject: str) -> TooManyTags:
    return TooManyTags(f"{subject} has more tags than one answer carries: ListTags lists them a page at a time")


def _ahead(work: Awaitable[Result]) -> "asyncio.Future[Result]":
    return asyncio.ensure_future(work)


def _failed(work: "asyncio.Future[Result]") -> bool:
    return work.done() and work.exception() is not None


async def _end(tasks: "Iterable[asyncio.Future[Result]]") -> None:
    ended = tuple(tasks)
    for task in ended:
        task.cancel()
    # Their failures, too, end here: whoever would have been told is gone.
    await asyncio.gather(*ended, return_exceptions=True)


async def _only(names: Names) -> AsyncGenerator[Names, None]:
    yield names


async def _matching(prefix: str, pages: AsyncIterator[Page[Repository | UnusableName]]) -> AsyncGenerator[Names, None]:
    async for page in pages:
        yield _beginning_with(prefix, page.items)
