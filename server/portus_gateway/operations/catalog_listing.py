"""The catalog with tags: the tags of many repositories at the same time, in order, with bounded memory.

Portus listed one repository after the other, which took minutes (#663), and took a failure for "no tags" (#1232).
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.distribution.paging import walk
from portus_gateway.errors import GatewayError
from portus_gateway.registry.protocol import Cursor, Page, Registry

Result = TypeVar("Result")
Names: TypeAlias = "tuple[Repository | UnusableName, ...]"

# A repository, and a whole page, is one message. gRPC clients take 4 MiB by default.
MOST_BYTES = 3 * 1024 * 1024
# The bytes that a tag takes in a message in addition to its name.
_FRAME = 3
# How many names a call looks at. It counts the names that the caller may see, so that it says nothing about others.
_MOST_NAMES_LOOKED_AT = 32_000


class TooManyTags(GatewayError):
    """The tags do not fit into one answer. ListTags lists them in pages."""

    reason = "TOO_MANY_TAGS"


class UnusableRepositoryName(GatewayError):
    """The registry lists a name that is not valid for a repository, so nothing can be asked about it."""

    reason = "UNUSABLE_NAME"


@dataclass(frozen=True, slots=True)
class TagNames:
    """The tags of a repository in lexical order, valid ones and other names apart, as the index has them."""

    valid: tuple[str, ...]
    unusable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A repository of the catalog.

    `tags` are in lexical order. They are an error if they are unknown, and None if they were not asked for.
    """

    name: Repository | UnusableName
    tags: tuple[Tag | UnusableName, ...] | TagNames | GatewayError | None


Entries: TypeAlias = tuple[CatalogEntry, ...]


class CatalogListing:
    """Lists the catalog of `registry`, with the tags of up to `concurrency` repositories at the same time."""

    def __init__(self, registry: Registry, concurrency: int) -> None:
        self._registry = registry
        self._concurrency = concurrency

    async def page(self, size: int, after: Cursor | None, *, include_tags: bool, prefix: str) -> Page[CatalogEntry]:
        """A page of at most `size` repositories whose names begin with `prefix`.

        It is shorter than that only at the end of the catalog, or if the prefix was not found for many names.
        """
        names, following = await self._page_of_names(size, after, prefix)
        entries: list[CatalogEntry] = []
        room = MOST_BYTES
        async with aclosing(self._entries(_single_page(names), include_tags)) as described:
            async for known in described:
                for entry in known:
                    taken = _size(entry.tags) if isinstance(entry.tags, tuple) else 0
                    if taken > room:
                        entries.append(CatalogEntry(entry.name, too_many_tags("this page of the catalog")))
                    else:
                        entries.append(entry)
                        room -= taken
        return Page(tuple(entries), following)

    async def stream(self, *, include_tags: bool, prefix: str) -> AsyncGenerator[Entries, None]:
        """All repositories whose names begin with `prefix`, each as soon as it is known, with others known by then.

        The next page of names is fetched while the tags of this one are listed. At most two pages of names and the
        tags of a few repositories are in memory, however slowly the caller reads.
        """
        pages = walk(self._names)
        async with aclosing(pages), aclosing(self._entries(_matching(prefix, pages), include_tags)) as entries:
            async for known in entries:
                yield known

    async def tags_of(self, names: Sequence[Repository | UnusableName]) -> dict[str, CatalogEntry]:
        """The entries of these repositories, with their tags, by name."""
        found: dict[str, CatalogEntry] = {}
        async with aclosing(self._entries(_single_page(tuple(names)), True)) as described:
            async for known in described:
                found |= {str(entry.name): entry for entry in known}
        return found

    async def _names(self, after: Cursor | None) -> Page[Repository | UnusableName]:
        return await self._registry.list_repositories(None, after)

    async def _page_of_names(self, size: int, after: Cursor | None, prefix: str) -> tuple[Names, Cursor | None]:
        """`size` names that begin with `prefix`, and where the catalog continues after them."""
        found: Names = ()
        end: Cursor | None = None
        budget = _MOST_NAMES_LOOKED_AT
        async with aclosing(walk(self._names, after)) as pages:
            async for page in pages:
                names = page.items[:budget]
                budget -= len(names)
                matching = _beginning_with(prefix, names)
                room = size - len(found)
                if len(matching) > room:
                    return found + matching[:room], page.after(matching[room - 1]) if room else end
                found += matching
                if len(found) < size and names:
                    end = page.after(names[-1])
                elif matching:
                    end = page.after(matching[-1])
                if len(names) < len(page.items) or (len(found) == size and page.next and not page.hides_names):
                    return found, end
        return found, None

    async def _entries(self, pages: AsyncGenerator[Names, None], include_tags: bool) -> AsyncGenerator[Entries, None]:
        waiting: deque[Repository | UnusableName] = deque()
        # In order: the first one is sent next. The others continue meanwhile.
        running: deque[asyncio.Future[CatalogEntry]] = deque()
        following: asyncio.Future[Names | None] | None = _started(anext(pages, None))
        try:
            while following is not None or waiting or running:
                if not include_tags and waiting:
                    yield tuple(CatalogEntry(name, None) for name in waiting)
                    waiting.clear()
                self._start(waiting, running)
                if running and (following is None or waiting or running[0].done() or _failed(following)):
                    # Send the first entry when nothing else can progress or when it is done; finished entries precede
                    # an error.
                    known = [await running[0]]
                    running.popleft()
                    while running and running[0].done() and not _failed(running[0]):
                        known.append(running.popleft().result())
                    # The registry works while these are being sent.
                    self._start(waiting, running)
                    yield tuple(known)
                elif following is not None and following.done():
                    page = following.result()
                    following = None if page is None else _started(anext(pages, None))
                    waiting.extend(page or ())
                elif following is not None:
                    awaited: list[asyncio.Future[CatalogEntry] | asyncio.Future[Names | None]] = [*list(running)[:1]]
                    await asyncio.wait([*awaited, following], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(running)
            await _end([] if following is None else [following])
            await pages.aclose()

    def _start(self, waiting: deque[Repository | UnusableName], running: "deque[asyncio.Future[CatalogEntry]]") -> None:
        """Lists the tags of as many more repositories as may be listed at the same time."""
        while waiting and len(running) < 2 * self._concurrency:
            running.append(_started(self._described(waiting.popleft())))

    async def _described(self, name: Repository | UnusableName) -> CatalogEntry:
        if isinstance(name, UnusableName):
            return CatalogEntry(name, UnusableRepositoryName(name.reason))
        try:
            return CatalogEntry(name, await self._tags(name))
        except DeadlineExceeded:
            raise
        except GatewayError as error:
            # Unknown is not empty, and the failure of one repository does not end the catalog (Portus #1232, #1599).
            return CatalogEntry(name, error)

    async def _tags(self, repository: Repository) -> tuple[Tag | UnusableName, ...]:
        tags: list[Tag | UnusableName] = []
        size = 0
        async with aclosing(walk(lambda cursor: self._registry.list_tags(repository, None, cursor))) as pages:
            async for page in pages:
                tags.extend(page.items)
                size += _size(page.items)
                if size > MOST_BYTES:
                    raise too_many_tags(str(repository))
        return tuple(sorted(tags, key=str))


def _beginning_with(prefix: str, names: Names) -> Names:
    return tuple(name for name in names if str(name).startswith(prefix)) if prefix else names


def _size(tags: Sequence[Tag | UnusableName]) -> int:
    """About how many bytes tags take in a message. A name that is not a tag may need four bytes for a character."""
    return sum(len(tag.name) if isinstance(tag, Tag) else 4 * len(tag.text) for tag in tags) + _FRAME * len(tags)


def too_many_tags(subject: str) -> TooManyTags:
    """The error in place of tags that do not fit into one answer."""
    return TooManyTags(f"{subject} has more tags than fit into one answer: ListTags lists them in pages")


def _started(work: Awaitable[Result]) -> "asyncio.Future[Result]":
    return asyncio.ensure_future(work)


def _failed(work: "asyncio.Future[Result]") -> bool:
    return work.done() and work.exception() is not None


async def _end(tasks: "Iterable[asyncio.Future[Result]]") -> None:
    ended = tuple(tasks)
    for task in ended:
        task.cancel()
    # There is no caller left for their failures.
    await asyncio.gather(*ended, return_exceptions=True)


async def _single_page(names: Names) -> AsyncGenerator[Names, None]:
    yield names


async def _matching(prefix: str, pages: AsyncIterator[Page[Repository | UnusableName]]) -> AsyncGenerator[Names, None]:
    async for page in pages:
        yield _beginning_with(prefix, page.items)
