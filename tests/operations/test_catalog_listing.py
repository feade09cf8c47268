import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest

from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.distribution.errors import UpstreamTimeout
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.errors import GatewayError
from portus_gateway.operations import catalog_listing
from portus_gateway.operations.catalog_listing import CatalogEntry, CatalogListing, TagNames, TooManyTags
from portus_gateway.registry.protocol import Cursor, Page
from tests.scripted_registry import ScriptedRegistry


def registry_of(count: int) -> ScriptedRegistry:
    return ScriptedRegistry({f"team/app-{number:04}": {"1.0": "a", f"n{number}": "b"} for number in range(count)})


def names(entries: Sequence[CatalogEntry]) -> list[str]:
    return [entry.name.name if isinstance(entry.name, Repository) else entry.name.text for entry in entries]


async def all_of(listing: CatalogListing, *, include_tags: bool = True, prefix: str = "") -> list[CatalogEntry]:
    async with aclosing(listing.stream(include_tags=include_tags, prefix=prefix)) as entries:
        return [entry async for known in entries for entry in known]


async def test_pages_join_to_the_whole_catalog() -> None:
    listing = CatalogListing(registry_of(25), 8)
    found: list[CatalogEntry] = []
    after = None
    while True:
        page = await listing.page(10, after, include_tags=True, prefix="")
        assert len(page.items) <= 10
        found += page.items
        after = page.next
        if after is None:
            break
    assert names(found) == [f"team/app-{number:04}" for number in range(25)]
    assert all(entry.tags == TagNames(("1.0", f"n{number}")) for number, entry in enumerate(found))


async def test_the_stream_has_all_repositories_in_order_with_their_tags() -> None:
    registry = registry_of(2500)
    entries = await all_of(CatalogListing(registry, 8))
    assert names(entries) == sorted(registry.repositories)
    assert entries[2499].tags == TagNames(("1.0", "n2499"))
    assert 8 <= registry.most_running <= 16


async def test_tags_that_nobody_asked_for_are_not_asked_of_the_registry() -> None:
    registry = registry_of(3)
    assert [entry.tags for entry in await all_of(CatalogListing(registry, 8), include_tags=False)] == [None] * 3
    assert not [question for question in registry.asked if question.startswith("tags")]


async def test_a_prefix_selects() -> None:
    registry = ScriptedRegistry({"base/a": {}, "team/a": {}, "team-b/c": {}})
    assert names(await all_of(CatalogListing(registry, 8), prefix="team/")) == ["team/a"]
    page = await CatalogListing(registry, 8).page(10, None, include_tags=False, prefix="base/")
    assert names(page.items) == ["base/a"]


async def test_a_page_continues_over_pages_without_a_match() -> None:
    registry = ScriptedRegistry({**registry_of(2500).repositories, "z/last": {}})
    page = await CatalogListing(registry, 8).page(2, None, include_tags=False, prefix="z/")
    assert names(page.items) == ["z/last"]
    assert page.next is None


async def test_a_page_ends_after_many_names_without_a_match(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_listing, "_MOST_NAMES_LOOKED_AT", 1100)
    registry = registry_of(2500)
    page = await CatalogListing(registry, 8).page(2, None, include_tags=False, prefix="z/")
    assert (page.items, page.next) == ((), Cursor("after", "team/app-1099"))
    assert len(registry.asked) == 2


async def test_a_full_last_page_has_no_next_one() -> None:
    page = await CatalogListing(registry_of(10), 8).page(10, None, include_tags=False, prefix="")
    assert (len(page.items), page.next) == (10, None)


async def test_small_pages_are_cut_from_large_ones() -> None:
    registry = registry_of(1000)
    page = await CatalogListing(registry, 8).page(3, None, include_tags=False, prefix="team/app-05")
    assert names(page.items) == ["team/app-0500", "team/app-0501", "team/app-0502"]
    assert page.next == Cursor("after", "team/app-0502")
    assert registry.asked == ["catalog after "]


async def test_names_that_are_no_tags_are_listed_with_the_tags() -> None:
    registry = ScriptedRegistry({"a": {"2": "x", "-1": "x", "1": "x", "-0": "x"}})
    (entry,) = await all_of(CatalogListing(registry, 8))
    assert entry.tags == TagNames(("1", "2"), ("-0", "-1"))


async def test_one_bad_repository_is_unknown_not_empty_and_does_not_end_the_catalog() -> None:
    registry = registry_of(5)
    registry.failures["team/app-0002"] = UpstreamTimeout("too slow")
    entries = await all_of(CatalogListing(registry, 8))
    assert [isinstance(entry.tags, GatewayError) for entry in entries] == [False, False, True, False, False]
    assert entries[2].tags is registry.failures["team/app-0002"]


async def test_a_name_that_is_none_is_shown_with_the_reason() -> None:
    entries = await all_of(CatalogListing(ScriptedRegistry({"Bad": {}, "team/app": {"1": "a"}}), 8))
    assert isinstance(entries[0].name, UnusableName)
    assert isinstance(entries[0].tags, GatewayError)
    assert entries[0].tags.reason == "UNUSABLE_NAME"
    assert entries[1].tags == TagNames(("1",))


async def test_a_failing_catalog_ends_the_stream_with_its_error_after_what_was_known() -> None:
    registry = registry_of(2500)
    seen: list[CatalogEntry] = []
    with pytest.raises(UpstreamTimeout):
        async with aclosing(CatalogListing(registry, 8).stream(include_tags=False, prefix="")) as entries:
            async for known in entries:
                seen += known
                registry.failures["catalog"] = UpstreamTimeout("too slow")
    assert len(seen) >= 1000


async def test_the_deadline_ends_the_catalog_instead_of_being_told_for_every_repository() -> None:
    registry = registry_of(3)
    registry.failures["team/app-0001"] = DeadlineExceeded("late")
    with pytest.raises(DeadlineExceeded):
        await all_of(CatalogListing(registry, 8))


async def test_a_reader_that_stops_stops_the_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each of these repositories takes 25 bytes and more.
    monkeypatch.setattr(catalog_listing, "_GATHERING", replace(catalog_listing._GATHERING, full=1000))
    registry = registry_of(5000)
    async with aclosing(CatalogListing(registry, 4).stream(include_tags=True, prefix="")) as entries:
        await anext(entries)
        before = len(registry.asked)
        for _ in range(100):
            await asyncio.sleep(0)
        # Two pages of names, what fits into a message, and the tags of no more than were in flight.
        assert len(registry.asked) - before <= 40 + 8
    assert registry.running == 0
    assert len(asyncio.all_tasks()) == 1


async def test_a_cancelled_listing_leaves_nothing_running() -> None:
    registry = registry_of(50)
    registry.gate = asyncio.Event()
    listing = asyncio.ensure_future(CatalogListing(registry, 4).page(50, None, include_tags=True, prefix=""))
    while registry.running < 4:
        await asyncio.sleep(0)
    listing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listing
    assert registry.running == 0
    assert len(asyncio.all_tasks()) == 1


async def test_more_tags_than_an_answer_carries_are_said_to_be_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each of these tags takes four bytes.
    monkeypatch.setattr(catalog_listing, "MOST_BYTES", 8)
    registry = ScriptedRegistry(
        {"a": {"1": "x", "2": "x", "3": "x"}, "b": {"1": "x"}, "c": {"1": "x", "2": "x"}, "d": {}, "e": {"1": "x"}}
    )
    registry.failures["d"] = UpstreamTimeout("slow")
    page = await CatalogListing(registry, 8).page(10, None, include_tags=True, prefix="")
    a, b, c, d, e = (entry.tags for entry in page.items)
    assert isinstance(a, TooManyTags)
    assert "ListTags" in str(a)
    assert b == TagNames(("1",))
    assert isinstance(c, TooManyTags)
    assert isinstance(d, UpstreamTimeout)
    assert e == TagNames(("1",))


async def test_the_tags_of_a_repository_may_take_several_pages() -> None:
    valid, unusable = (tuple(f"{sign}{number:04}" for number in range(1100)) for sign in ("", "-"))
    registry = ScriptedRegistry({"a": dict.fromkeys(valid + unusable, "x")})
    (entry,) = await all_of(CatalogListing(registry, 8))
    assert entry.tags == TagNames(valid, unusable)
    assert registry.asked.count("tags of a") == 3


async def test_a_repository_with_too_many_tags_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    # A page of 1000 of these tags takes 7000 bytes.
    monkeypatch.setattr(catalog_listing, "MOST_BYTES", 13_999)
    registry = ScriptedRegistry({"a": {f"{number:04}": "x" for number in range(5000)}})
    (entry,) = await all_of(CatalogListing(registry, 8))
    assert isinstance(entry.tags, TooManyTags)
    assert registry.asked.count("tags of a") == 2


async def test_what_is_known_does_not_wait_for_the_next_page() -> None:
    registry = registry_of(1500)
    registry.catalog_gate = asyncio.Event()
    async with aclosing(CatalogListing(registry, 4).stream(include_tags=True, prefix="")) as entries:
        seen: list[CatalogEntry] = []
        async with asyncio.timeout(5):
            while len(seen) < 1000:
                seen += await anext(entries)
        assert names(seen) == sorted(registry.repositories)[:1000]
        registry.catalog_gate.set()
        assert names(await anext(entries))[0] == "team/app-1000"


async def test_the_first_repository_does_not_wait_for_others() -> None:
    registry = registry_of(30)

    class Slow(ScriptedRegistry):
        """Answers about the first repository at once, and about no other."""

        async def list_tags(
            self, repository: Repository, size: int | None, after: Cursor | None = None
        ) -> Page[Tag | UnusableName]:
            self.gate = None if repository.name == "team/app-0000" else asyncio.Event()
            return await super().list_tags(repository, size, after)

    slow = Slow(registry.repositories)
    async with aclosing(CatalogListing(slow, 4).stream(include_tags=True, prefix="")) as entries, asyncio.timeout(5):
        assert names(await anext(entries)) == ["team/app-0000"]


async def test_what_became_known_while_the_reader_was_busy_comes_together() -> None:
    registry = registry_of(300)
    async with aclosing(CatalogListing(registry, 4).stream(include_tags=True, prefix="")) as entries:
        seen = len(await anext(entries))
        while len(registry.asked) < 301 or registry.running:
            await asyncio.sleep(0)
        assert seen + len(await anext(entries)) == 300


async def test_repositories_that_become_known_soon_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_listing, "_GATHERING", replace(catalog_listing._GATHERING, pause=3600.0))
    registry = registry_of(300)
    async with aclosing(CatalogListing(registry, 4).stream(include_tags=True, prefix="")) as entries:
        first, rest = [known async for known in entries]
    assert names([*first, *rest]) == sorted(registry.repositories)


async def test_finished_entries_precede_the_catalogs_failure() -> None:
    registry = registry_of(1020)
    registry.catalog_gate = asyncio.Event()
    seen = 0
    with pytest.raises(UpstreamTimeout):
        async with aclosing(CatalogListing(registry, 8).stream(include_tags=True, prefix="")) as entries:
            async for known in entries:
                seen += len(known)
                registry.failures["catalog"] = UpstreamTimeout("too slow")
                if seen >= 980:
                    registry.catalog_gate.set()
    assert seen == 1000
