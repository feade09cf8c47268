"""Answers from the index of which parts are too old."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import Unavailable
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.distribution.page import Cursor
from portus_gateway.errors import GatewayError
from portus_gateway.index.live_index import LiveIndex
from portus_gateway.index.store import CatalogPage, CatalogRows, IndexedRepository, IndexState, TagEntry, TagRows
from portus_gateway.operations import index_answers
from portus_gateway.operations.catalog_listing import CatalogEntry, CatalogListing, TagNames
from portus_gateway.operations.index_answers import EverythingVisible, IndexAnswers
from portus_gateway.operations.indexed_tag_listing import IndexedTagListing
from portus_gateway.operations.tag_listing import TagListing, WantedTags
from portus_gateway.registry.resolved_tags import ResolvedTag
from tests.scripted_registry import ScriptedRegistry

ALLOWED = 10.0
DIGEST = Digest.of(b"content")


def state(now: float) -> IndexState:
    return IndexState(
        epoch="e", head=1, oldest=0, now=now, walk_started=0.0, walk_ended=0.0, walk_requested=False, ready=True
    )


class AgingIndex:
    """An index of two repositories that were read at 0. Each page is read eight seconds after the one before."""

    def __init__(self, *, resolved: bool) -> None:
        self.now = 0.0
        self.store = self
        self._resolved = resolved

    async def state(self) -> IndexState:
        return state(self.now)

    async def catalog(self, after: str, prefix: str, size: int, *, tags: bool) -> CatalogRows:
        self.now += 8.0
        rows = [IndexedRepository(name, 0.0, ("indexed",), self._resolved) for name in ("a", "b") if name > after]
        return CatalogRows(CatalogPage(tuple(rows[:size]), len(rows) > size), state(self.now))

    async def refresh(self, repositories: Sequence[str]) -> None:
        pass


async def live_tags(names: Sequence[Repository | UnusableName]) -> dict[str, CatalogEntry]:
    return {str(name): CatalogEntry(name, TagNames(())) for name in names}


@pytest.mark.parametrize("resolved", [True, False])
async def test_a_row_that_became_too_old_during_the_stream_is_asked_of_the_registry(
    monkeypatch: pytest.MonkeyPatch, resolved: bool
) -> None:
    monkeypatch.setattr(index_answers, "_STREAM_PAGE", 1)
    answers = IndexAnswers(
        cast("LiveIndex", AgingIndex(resolved=resolved)),
        EverythingVisible(),
        cast("CatalogListing", SimpleNamespace(tags_of=live_tags)),
    )
    stream = await answers.stream(include_tags=True, prefix="", max_staleness=ALLOWED)
    assert stream is not None
    entries = [
        entry async for page, _ in stream for entry in (page.repositories if isinstance(page, CatalogPage) else page)
    ]
    assert [str(entry.name) for entry in entries] == ["a", "b"]
    # The first is 8 seconds old, the second would be 16.
    assert [entry.tags == TagNames(()) for entry in entries] == [False, True]


class ChangingPolicy(EverythingVisible):
    """What was asked of it before a change goes by the old policy."""

    names = frozenset({"a", "b"})

    def visible(self) -> Callable[[str], bool]:
        names = self.names
        return lambda name: name in names


async def test_a_right_that_is_taken_away_counts_within_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_answers, "_STREAM_PAGE", 1)
    policy = ChangingPolicy()
    answers = IndexAnswers(cast("LiveIndex", AgingIndex(resolved=False)), policy, cast("CatalogListing", None))
    stream = await answers.stream(include_tags=False, prefix="", max_staleness=ALLOWED)
    assert stream is not None
    pages = []
    async for page, _ in stream:
        pages.append([str(entry.name) for entry in (page.repositories if isinstance(page, CatalogPage) else page)])
        policy.names = frozenset({"a"})
    assert pages == [["a"], []]


class IndexOf(AgingIndex):
    """An index of these repositories. Before the page after `then`, it calls `change`. Each page is of a new walk."""

    def __init__(self, names: str, *, then: str = "", change: Callable[[], None] = lambda: None) -> None:
        super().__init__(resolved=True)
        self._names = names
        self._then = then
        self._change = change
        self._pages = 0

    async def catalog(self, after: str, prefix: str, size: int, *, tags: bool) -> CatalogRows:
        if after and after == self._then:
            self._change()
        self._pages += 1
        rows = [IndexedRepository(name, 0.0, (), True) for name in self._names if name > after]
        page = CatalogPage(tuple(rows[:size]), len(rows) > size)
        return CatalogRows(page, replace(state(0.0), walk_started=float(self._pages)))


async def parts_of(index: IndexOf, policy: EverythingVisible) -> list[tuple[str, float]]:
    """The names in each part of a stream, and as of when it holds."""
    answers = IndexAnswers(cast("LiveIndex", index), policy, cast("CatalogListing", None))
    stream = await answers.stream(include_tags=False, prefix="", max_staleness=ALLOWED)
    assert stream is not None
    return [
        (
            "".join(str(entry.name) for entry in (part.repositories if isinstance(part, CatalogPage) else part)),
            told.as_of,
        )
        async for part, told in stream
    ]


@pytest.mark.parametrize("names", ["BDEGK", "ABCDEFGHIJK", "BCDEGKLMNOP", "BDEGKL"])
async def test_the_parts_of_a_stream_do_not_tell_how_many_repositories_are_hidden(
    monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    monkeypatch.setattr(index_answers, "_STREAM_PAGE", 2)
    policy = ChangingPolicy()
    policy.names = frozenset("BDEGK")
    assert [part for part, _ in await parts_of(IndexOf(names), policy)] == ["BD", "EG", "K"]


async def test_a_part_of_a_stream_holds_as_of_its_oldest_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_answers, "_STREAM_PAGE", 2)
    policy = ChangingPolicy()
    policy.names = frozenset("ACEFH")
    assert await parts_of(IndexOf("ABCDEFGH"), policy) == [("AC", 1.0), ("EF", 3.0), ("H", 4.0)]


async def test_a_right_that_is_taken_away_counts_for_what_is_kept_for_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_answers, "_STREAM_PAGE", 2)
    policy = ChangingPolicy()
    policy.names = frozenset("ACE")

    def take_away() -> None:
        policy.names = frozenset("CE")

    index = IndexOf("ABCDEF", then="B", change=take_away)
    assert [part for part, _ in await parts_of(index, policy)] == ["CE"]


class IndexWithUnusableName(AgingIndex):
    """An index of a registry that also lists a name that no repository can have. Nothing is ever read of it."""

    async def catalog(self, after: str, prefix: str, size: int, *, tags: bool) -> CatalogRows:
        rows = (
            IndexedRepository("Team/App", None, (), False),
            IndexedRepository("a", 0.0, ("indexed",), True),
        )
        return CatalogRows(CatalogPage(rows, False), state(self.now))


class NamesOnly(EverythingVisible):
    """The caller may list the catalog, and the tags of `a` alone."""

    def tags_visible(self) -> Callable[[str], bool]:
        return lambda name: name == "a"


@pytest.mark.parametrize("visibility", [EverythingVisible(), NamesOnly()], ids=["everything", "names"])
async def test_an_unusable_name_is_told_as_such_whatever_the_caller_may_list(visibility: EverythingVisible) -> None:
    answers = IndexAnswers(
        cast("LiveIndex", IndexWithUnusableName(resolved=True)),
        visibility,
        CatalogListing(ScriptedRegistry({}), 1),
    )
    found = await answers.catalog(10, None, include_tags=True, prefix="", max_staleness=ALLOWED)
    assert found is not None
    entries = found.entries
    unusable, valid = entries.repositories if isinstance(entries, CatalogPage) else entries
    assert (str(unusable.name), str(valid.name)) == ("Team/App", "a")
    assert isinstance(unusable.tags, GatewayError)
    assert unusable.tags.reason == "UNUSABLE_NAME"
    assert not isinstance(valid.tags, GatewayError)


class PartlyCheckedIndex:
    """An index that read the names at 95 and checked the digests at 50, 92 and never. It is 100 now."""

    def __init__(self) -> None:
        self.store = self

    async def tags(self, repository: str, after: str, size: int) -> TagRows:
        checked = {"late": 50.0, "recent": 92.0, "unchecked": None}
        entries = (TagEntry(repository, tag, DIGEST, checked_at) for tag, checked_at in checked.items())
        return TagRows(tuple(entries), 95.0, state(100.0))


async def test_a_digest_that_was_checked_too_long_ago_is_not_told() -> None:
    listing = cast("CatalogListing", None)
    answers = IndexAnswers(cast("LiveIndex", PartlyCheckedIndex()), EverythingVisible(), listing)
    found = await answers.tags(Repository("a"), 10, None, ALLOWED, digests=True)
    assert found is not None
    assert found.page.items == (Tag("late"), ResolvedTag("recent", DIGEST), Tag("unchecked"))
    # The page is as old as the oldest digest in it.
    assert found.freshness.as_of == 92.0
    names = await answers.tags(Repository("a"), 10, None, ALLOWED)
    assert names is not None
    assert names.page.items == (Tag("late"), Tag("recent"), Tag("unchecked"))
    assert names.freshness.as_of == 95.0


class VanishingIndex(PartlyCheckedIndex):
    """An index that does not know the repository any more when it is asked for the second page."""

    async def tags(self, repository: str, after: str, size: int) -> TagRows:
        if after:
            return TagRows((), None, state(100.0))
        entries = tuple(TagEntry(repository, f"t{number:04}", DIGEST, 99.0) for number in range(size))
        return TagRows(entries, 95.0, state(100.0))


async def test_a_listing_that_the_index_cannot_end_is_left_to_the_registry() -> None:
    answers = IndexAnswers(cast("LiveIndex", VanishingIndex()), EverythingVisible(), cast("CatalogListing", None))
    listing = IndexedTagListing(answers, TagListing(ScriptedRegistry({}), 4))
    wanted = WantedTags(repository=Repository("a"), size=10, digest=Digest.of(b"another"), max_staleness=ALLOWED)
    assert await listing.page(wanted) is None
    with pytest.raises(Unavailable) as failed:
        await listing.page(replace(wanted, after=Cursor("indexed", "t0001")))
    assert failed.value.reason == "LISTING_CHANGED"
