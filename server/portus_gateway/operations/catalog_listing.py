"""The catalog with tags: the tags of many repositories at the same time, in order, with bounded memory.

Portus listed one repository after the other, which took minutes (#663), and took a failure for "no tags" (#1232).
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.aio.in_order import Gathering, in_order
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.distribution.paging import walk
from portus_gateway.errors import GatewayError
from portus_gateway.registry.protocol import Cursor, Page, Registry

Names: TypeAlias = "tuple[Repository | UnusableName, ...]"

# A repository, and a whole page, is one message. gRPC clients take 4 MiB by default.
MOST_BYTES = 3 * 1024 * 1024
# Repositories are sent together if they become known within so many seconds, or up to so many bytes. A message costs
# about as much as the tags of a repository.
_PAUSE: Final = 0.02
_FULL: Final = 60 * 1024
# The bytes that a name takes in a message in addition to its characters.
_FRAME: Final = 3
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
    size: int = field(init=False, repr=False, compare=False)
    """About how many bytes they take in a message. In a name that is not a tag, a character may take four."""

    def __post_init__(self) -> None:
        characters = len("".join(self.valid)) + 4 * len("".join(self.unusable))
        object.__setattr__(self, "size", characters + _FRAME * (len(self.valid) + len(self.unusable)))


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A repository of the catalog. `tags` is an error if they are unknown, and None if they were not asked for."""

    name: Repository | UnusableName
    tags: TagNames | GatewayError | None


Entries: TypeAlias = Sequence[CatalogEntry]


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
                    taken = entry.tags.size if isinstance(entry.tags, TagNames) else 0
                    if taken > room:
                        entries.append(CatalogEntry(entry.name, too_many_tags("this page of the catalog")))
                    else:
                        entries.append(entry)
                        room -= taken
        return Page(tuple(entries), following)

    async def stream(self, *, include_tags: bool, prefix: str) -> AsyncGenerator[Entries, None]:
        """All repositories whose names begin with `prefix`.

        Each comes at most 20 ms after it is known, together with others. The next page of names is fetched while the
        tags of this one are listed. At most two pages of names, the tags that fit into a message, and those of a few
        repositories are in memory, however slowly the caller reads.
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

    def _entries(
        self, pages: AsyncGenerator[Names, None], include_tags: bool
    ) -> AsyncGenerator[Sequence[CatalogEntry], None]:
        if not include_tags:
            return _without_tags(pages)
        # Half of them wait for a slot, so that the registry is never idle.
        return in_order(pages, self._described, at_once=2 * self._concurrency, gathering=_GATHERING)

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

    async def _tags(self, repository: Repository) -> TagNames:
        # Nearly all repositories have one page, for which a walk would take longer than the rest of this.
        page = await self._registry.list_tags(repository, None)
        names = _names_of(page.items)
        if page.next is not None:
            names = await self._with_rest(repository, names, page.next)
        if names.size > MOST_BYTES:
            raise too_many_tags(str(repository))
        return names

    async def _with_rest(self, repository: Repository, first: TagNames, after: Cursor) -> TagNames:
        """The tags of the first page and those after it. It ends early if they are too many for a message."""
        valid, unusable, size = list(first.valid), list(first.unusable), first.size
        async with aclosing(walk(lambda cursor: self._registry.list_tags(repository, None, cursor), after)) as pages:
            async for page in pages:
                names = _names_of(page.items)
                valid += names.valid
                unusable += names.unusable
                size += names.size
                if size > MOST_BYTES:
                    break
        return TagNames(_sorted(valid), _sorted(unusable))


def _names_of(tags: Sequence[Tag | UnusableName]) -> TagNames:
    valid = _sorted(tag.name for tag in tags if isinstance(tag, Tag))
    return TagNames(valid, _sorted(tag.text for tag in tags if isinstance(tag, UnusableName)))


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


def _size(entry: CatalogEntry) -> int:
    return len(str(entry.name)) + _FRAME + (entry.tags.size if isinstance(entry.tags, TagNames) else 0)


_GATHERING: Final = Gathering(pause=_PAUSE, full=_FULL, size_of=_size)


def _beginning_with(prefix: str, names: Names) -> Names:
    return tuple(name for name in names if str(name).startswith(prefix)) if prefix else names


def too_many_tags(subject: str) -> TooManyTags:
    """The error in place of tags that do not fit into one answer."""
    return TooManyTags(f"{subject} has more tags than fit into one answer: ListTags lists them in pages")


async def _without_tags(pages: AsyncGenerator[Names, None]) -> AsyncGenerator[Entries, None]:
    """The repositories of each page. The next page is fetched while the reader is busy with this one."""
    following = asyncio.ensure_future(anext(pages, None))
    try:
        while (page := await following) is not None:
            following = asyncio.ensure_future(anext(pages, None))
            yield tuple(CatalogEntry(name, None) for name in page)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await pages.aclose()


async def _single_page(names: Names) -> AsyncGenerator[Names, None]:
    yield names


async def _matching(prefix: str, pages: AsyncIterator[Page[Repository | UnusableName]]) -> AsyncGenerator[Names, None]:
    async for page in pages:
        yield _beginning_with(prefix, page.items)
