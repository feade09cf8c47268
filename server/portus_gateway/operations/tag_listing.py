"""The tags of one repository, page by page, with as much about each as the caller wants."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeAlias

from portus_gateway.access.errors import AccessError, Hidden
from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.aio.in_parallel import for_each
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import NotFound
from portus_gateway.distribution.manifest import Descriptor
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.distribution.page import LARGEST_PAGE
from portus_gateway.distribution.paging import walk
from portus_gateway.errors import GatewayError, forget_frames
from portus_gateway.operations.catalog_listing import MOST_BYTES, TooManyTags
from portus_gateway.operations.digest_comparison import DigestComparison
from portus_gateway.operations.referrer_tags import is_referrer_tag
from portus_gateway.operations.tag_details import TagDetails, View, details_of
from portus_gateway.registry.protocol import Cursor, Page, Registry
from portus_gateway.registry.resolved_tags import ResolvedTag

Name: TypeAlias = "Tag | UnusableName"
Listed: TypeAlias = "TagDetails | UnusableName"
Target: TypeAlias = "Descriptor | GatewayError | None"
"""What a tag points to, or why that is not known. None: the registry was not asked in this call."""

MOST_SORTED_TAGS: Final = 1000
"""Maximum number of tags of a repository whose tags are listed in the order of their dates."""

# How many names one call reads to find tags that pass its filter.
_MOST_NAMES_READ: Final = 32_000
# How many tags one call asks the registry about to find those on a digest.
_MOST_TAGS_RESOLVED: Final = LARGEST_PAGE
# About how many bytes of a message a tag takes beside its texts, and the status of one that could not be read.
_FRAME: Final = 64
_STATUS_SIZE: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedTags:
    """A page of at most `size` tags. With a `digest`, only tags that point to it.

    `newest_first` needs the view FULL. `max_staleness` is how old the page may be, in seconds.
    """

    repository: Repository
    size: int
    after: Cursor | None = None
    view: View = View.NAMES
    digest: Digest | None = None
    omit_referrer_tags: bool = False
    newest_first: bool = False
    max_staleness: float = 0.0


class TagSource(Protocol):
    """Where a listing gets its tags from."""

    async def page(self, repository: Repository, size: int, after: Cursor | None) -> Page[Name]:
        """A page of at most `size` tags. Raises `NotFound`."""
        ...

    def digest_of(self, tag: Tag) -> Digest | None:
        """What a tag of a page points to. None: the registry has to be asked. Raises `PermissionDenied`."""
        ...


class RegistryTags:
    """The tags as `registry` lists them now."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def page(self, repository: Repository, size: int, after: Cursor | None) -> Page[Name]:
        return await tag_page(self._registry, repository, size, after)

    def digest_of(self, tag: Tag) -> None:  # noqa: ARG002
        return None


class TagListing:
    """Lists tags of `registry`, and asks about up to `concurrency` of them at the same time."""

    def __init__(self, registry: Registry, concurrency: int) -> None:
        self._registry = registry
        self._concurrency = concurrency
        self._live = RegistryTags(registry)

    async def page(self, wanted: WantedTags, source: TagSource | None = None) -> Page[Listed]:
        """The page, with the tags of `source`, or as the registry lists them now.

        It takes about 3 MiB in a message at most. It can be shorter than `size`, or empty, before the end.

        If the details of a tag cannot be read, the tag has the error. Raises `TooManyTags` for `newest_first` in a
        repository with more than 1000 tags; and what the registry raises for the list itself, as `tag_page` does.
        """
        source = source or self._live
        if wanted.newest_first:
            return await self._newest_page(wanted, source)
        page, targets = await self._names(wanted, source)
        listed = await self._details(wanted, page.items, targets)
        return _page_of(page.first(_number_that_fits(listed)), listed)

    async def _names(self, wanted: WantedTags, source: TagSource) -> tuple[Page[Name], Mapping[Tag, Target]]:
        """The names on the page. With a digest, also what their tags point to."""
        if wanted.digest is None and not wanted.omit_referrer_tags:
            return await source.page(wanted.repository, wanted.size, wanted.after), {}
        read = resolved = 0
        large_page = _large_pages(source, wanted.repository)
        async with aclosing(walk(large_page, wanted.after)) as pages:
            async for page in pages:
                names = _without_omitted(wanted, page.items)
                targets: Mapping[Tag, Target] = {}
                if wanted.digest is not None:
                    targets = await self._on_digest(wanted, source, wanted.digest, names)
                    resolved += sum(not isinstance(name, ResolvedTag) for name in names)
                    names = tuple(name for name in names if isinstance(name, UnusableName) or name in targets)
                read += len(page.items)
                if names or page.next is None or read >= _MOST_NAMES_READ or resolved >= _MOST_TAGS_RESOLVED:
                    return replace(page, items=names).first(wanted.size), targets
        raise AssertionError("a listing has a page")

    async def _newest_page(self, wanted: WantedTags, source: TagSource) -> Page[Listed]:
        names: list[Name] = []
        async with aclosing(walk(_large_pages(source, wanted.repository))) as pages:
            async for page in pages:
                names.extend(_without_omitted(wanted, page.items))
                if len(names) > MOST_SORTED_TAGS:
                    raise TooManyTags(
                        f"{wanted.repository} has more than {MOST_SORTED_TAGS} tags, too many to sort them by date in"
                        " one call: list all pages with order_by `name`, and sort them"
                        + ("" if wanted.omit_referrer_tags else "; or set omit_referrer_tags if it has many signatures")
                    )
        targets: Mapping[Tag, Target] = {}
        tags: Sequence[Tag] = [name for name in names if isinstance(name, Tag)]
        if wanted.digest is not None:
            targets = await self._on_digest(wanted, source, wanted.digest, tags)
            tags = tuple(targets)
        details = [one for one in await self._details(wanted, tags, targets) if isinstance(one, TagDetails)]
        ordered = sorted(map(_Position.of, details), key=_Position.key)
        unusable: list[Listed] = []
        if wanted.after is None:
            unusable = [name for name in names if isinstance(name, UnusableName)]
        else:
            last = _Position.at(wanted.after).key()
            ordered = [position for position in ordered if position.key() > last]
        by_tag: dict[str, Listed] = {str(one): one for one in details}
        listed = [*unusable, *(by_tag[position.tag] for position in ordered)]
        number = max(len(unusable) + 1, _number_that_fits(listed[: len(unusable) + wanted.size]))
        shown = ordered[: number - len(unusable)]
        return Page(tuple(listed[:number]), shown[-1].cursor() if len(shown) < len(ordered) else None)

    async def _on_digest(
        self, wanted: WantedTags, source: TagSource, digest: Digest, names: Sequence[Name]
    ) -> Mapping[Tag, Target]:
        """Those of `names` that point to `digest`, in any order. A tag for which that is not known has the error.

        A listing of names has no place for an error, so it is raised.
        """
        comparison = DigestComparison(self._registry, wanted.repository, digest)
        found: dict[Tag, Target] = {}

        async def resolve(tag: Tag) -> None:
            try:
                known = source.digest_of(tag)
                if known is not None:
                    if await comparison.names(known):
                        found[tag] = None
                    return
                target = await self._registry.resolve_manifest(wanted.repository, tag)
                if await comparison.names(target.digest):
                    found[tag] = target
            except (DeadlineExceeded, AccessError, Hidden):
                raise
            except NotFound:
                # It was listed. Either it was deleted since, or it points to nothing.
                return
            except GatewayError as error:
                if wanted.view is View.NAMES:
                    raise
                found[tag] = forget_frames(error)

        await for_each([name for name in names if isinstance(name, Tag)], resolve, at_once=self._concurrency)
        return found

    async def _details(self, wanted: WantedTags, names: Sequence[Name], targets: Mapping[Tag, Target]) -> list[Listed]:
        found: dict[Tag, TagDetails] = {}

        async def read(tag: Tag) -> None:
            target = targets.get(tag)
            if isinstance(target, GatewayError):
                found[tag] = TagDetails(tag, error=target)
            else:
                found[tag] = await details_of(self._registry, wanted.repository, tag, wanted.view, target)

        if wanted.view is not View.NAMES:
            await for_each([name for name in names if isinstance(name, Tag)], read, at_once=self._concurrency)
        return [name if isinstance(name, UnusableName) else found.get(name) or TagDetails(name) for name in names]


def _large_pages(source: TagSource, repository: Repository) -> Callable[[Cursor | None], Awaitable[Page[Name]]]:
    return lambda after: source.page(repository, LARGEST_PAGE, after)


async def tag_page(registry: Registry, repository: Repository, size: int, after: Cursor | None) -> Page[Name]:
    """A page of at most `size` tags. It is empty for a repository that the catalog lists and that never had a tag.

    Raises `NotFound` if the registry knows no such repository, and nothing proves that it exists.
    """
    try:
        return await registry.list_tags(repository, size, after)
    except NotFound as error:
        # Hidden is what the policy says, not the registry.
        is_unknown = error.reason == "NAME_UNKNOWN" and not isinstance(error, Hidden)
        if not is_unknown or not await registry.is_in_catalog(repository):
            raise
        return Page((), None)


@dataclass(frozen=True, slots=True)
class _Position:
    """A position in the order of dates: the newest first, those without a date last, and equal ones by their names."""

    seconds: int | None
    nanoseconds: int
    tag: str

    @classmethod
    def of(cls, details: TagDetails) -> "_Position":
        created = details.created
        return (
            cls(None, 0, str(details)) if created is None else cls(created.seconds, created.nanoseconds, str(details))
        )

    @classmethod
    def at(cls, cursor: Cursor) -> "_Position":
        if not cursor.query:
            return cls(None, 0, cursor.name)
        seconds, nanoseconds = cursor.query.split()
        return cls(int(seconds), int(nanoseconds), cursor.name)

    def cursor(self) -> Cursor:
        date = "" if self.seconds is None else f"{self.seconds} {self.nanoseconds}"
        return Cursor("sliced", self.tag, date)

    def key(self) -> tuple[bool, int, int, str]:
        return self.seconds is None, -(self.seconds or 0), -self.nanoseconds, self.tag


def _without_omitted(wanted: WantedTags, names: Sequence[Name]) -> tuple[Name, ...]:
    if not wanted.omit_referrer_tags:
        return tuple(names)
    return tuple(name for name in names if isinstance(name, UnusableName) or not is_referrer_tag(name))


def _page_of(page: Page[Name], listed: Sequence[Listed]) -> Page[Listed]:
    return Page(tuple(listed[: len(page.items)]), page.next, page.place, page.hides_names)


def _number_that_fits(listed: Sequence[Listed]) -> int:
    """How many of `listed`, from the first on, fit into one message. At least 1."""
    room = MOST_BYTES
    for number, one in enumerate(listed):
        room -= _size(one)
        if room < 0:
            return max(number, 1)
    return len(listed)


def _size(one: Listed) -> int:
    """About how many bytes it takes in a message. Texts of documents may need four bytes for a character."""
    if isinstance(one, UnusableName):
        return 4 * min(len(one.text), 1024) + _FRAME
    size = 2 * len(one.tag.name) + _FRAME
    if one.descriptor is not None:
        size += len(one.descriptor.media_type) + len(one.descriptor.digest.text) + _FRAME
    if one.error is not None:
        size += _STATUS_SIZE
    for platform in one.platforms:
        texts = (platform.os, platform.architecture, platform.variant, platform.os_version, *platform.os_features)
        size += 4 * sum(map(len, texts)) + _FRAME
    return size
