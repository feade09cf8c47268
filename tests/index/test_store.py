"""What every store has to do: the same tests for SQLite and PostgreSQL."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest

from portus_gateway.index.errors import StoreUnusable
from portus_gateway.index.sql_store import SqlStore
from portus_gateway.index.store import CatalogPage, ChangeType, Hint, Notice, Reading, TagRows
from portus_gateway.index.transactions import Statement, Transaction
from tests.index.conftest import OpenStore
from tests.index.stores import GONE, all_changes, claimed, digest, reading, told, write

Result = TypeVar("Result")


class TestChanges:
    async def test_a_first_reading_creates_the_repository_and_its_tags(self, store: SqlStore) -> None:
        await write(store, "team/app", reading({"v1": "a", "v2": "b"}))
        changes = await all_changes(store)
        assert told(changes) == [
            ("REPOSITORY_CREATED", "team/app", ""),
            ("TAG_CREATED", "team/app", "v1"),
            ("TAG_CREATED", "team/app", "v2"),
        ]
        assert [change.sequence for change in changes] == [1, 2, 3]
        assert changes[1].digest == digest("a")
        assert changes[1].previous_digest is None

    async def test_the_difference_to_the_reading_before(self, store: SqlStore) -> None:
        await write(store, "app", reading({"kept": "a", "moved": "a", "deleted": "a"}))
        head = (await store.state()).head
        await write(store, "app", reading({"kept": "a", "moved": "b", "new": "c"}))
        changes = {change.tag: change for change in await all_changes(store, head)}
        assert {tag: change.type for tag, change in changes.items()} == {
            "deleted": ChangeType.TAG_DELETED,
            "moved": ChangeType.TAG_MOVED,
            "new": ChangeType.TAG_CREATED,
        }
        assert (changes["moved"].previous_digest, changes["moved"].digest) == (digest("a"), digest("b"))
        assert (changes["deleted"].previous_digest, changes["deleted"].digest) == (digest("a"), None)

    async def test_a_repository_that_is_gone(self, store: SqlStore) -> None:
        await write(store, "app", reading({"v1": "a"}))
        head = (await store.state()).head
        await write(store, "app", GONE)
        assert told(await all_changes(store, head)) == [("TAG_DELETED", "app", "v1"), ("REPOSITORY_DELETED", "app", "")]
        assert (await store.catalog("", "", 10, tags=False)).repositories == ()

    async def test_a_tag_that_the_registry_does_not_resolve_is_listed_and_is_no_change(self, store: SqlStore) -> None:
        await write(store, "app", reading({"broken": None}))
        assert told(await all_changes(store)) == [("REPOSITORY_CREATED", "app", "")]
        assert [entry.tag for entry in (await store.tags("app", "", 10)).tags] == ["broken"]

    async def test_a_digest_that_was_not_asked_for_is_kept(self, store: SqlStore) -> None:
        await write(store, "app", reading({"v1": "a"}))
        await write(store, "app", reading(names=["v1"]))
        assert (await store.tags("app", "", 10)).tags[0].digest == digest("a")

    async def test_a_repository_with_digests_still_to_read_stays_dirty(self, store: SqlStore) -> None:
        applied = await write(store, "app", reading({"v1": "a"}, names=["v2"], unread=1))
        assert not applied.settled
        claim = await claimed(store, "app")
        assert claim.tags["v2"].checked_at is None
        assert [tag.tag for tag in (await store.tags("app", "", 10)).tags] == ["v1", "v2"]

    async def test_only_a_reading_that_changes_something_waits_for_the_disk(
        self, store: SqlStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waits: list[bool] = []
        write_to_store = store._write

        async def noted(make: Callable[[], Transaction[Result]], *, durable: bool = False) -> Result:
            waits.append(durable)
            return await write_to_store(make, durable=durable)

        async def waits_for(found: Reading) -> bool:
            await store.notify([Notice("app")])
            claim = await claimed(store, "app")
            waits.clear()
            applied = await store.apply(claim, found)
            assert applied is not None
            assert waits == [True] or not applied.changes
            return waits == [True]

        monkeypatch.setattr(store, "_write", noted)
        assert await waits_for(reading({"v1": "a", "v2": "b"}))
        assert not await waits_for(reading({"v1": "a", "v2": "b"}))
        assert not await waits_for(reading({"v1": "a"}, names=["v2"]))
        assert await waits_for(reading({"v1": "b", "v2": "b"}))
        assert await waits_for(reading({"v1": "b"}))
        assert await waits_for(reading({"v1": "b", "v2": "b"}))
        assert await waits_for(reading())
        assert await waits_for(GONE)

    async def test_numbers_have_no_gaps_when_many_write(self, store: SqlStore) -> None:
        names = [f"app{number}" for number in range(20)]
        await store.walk_page(1.0, names)
        claims = await store.claim(100, 60)
        await asyncio.gather(*(store.apply(claim, reading({"v1": "a", "v2": "b"})) for claim in claims))
        assert [change.sequence for change in await all_changes(store)] == list(range(1, 61))

    async def test_changes_come_in_pages(self, store: SqlStore) -> None:
        await write(store, "app", reading({f"v{number}": "a" for number in range(5)}))
        first = await store.changes(0, 2)
        assert [change.sequence for change in first.changes] == [1, 2]
        assert first.state.head == 6
        assert [change.sequence for change in (await store.changes(4, 10)).changes] == [5, 6]

    async def test_old_changes_are_forgotten(self, store: SqlStore) -> None:
        await write(store, "app", reading({"v1": "a"}))
        assert await store.forget((await store.state()).now - 3600) == 0
        assert await store.forget((await store.state()).now + 1, most=1) == 1
        rows = await store.changes(0)
        assert rows.state.oldest == 1
        assert [change.sequence for change in rows.changes] == [2]
        await write(store, "app", reading({"v1": "b"}))
        assert (await store.state()).head == 3


class TestClaims:
    async def test_a_claimed_repository_is_not_claimed_again(self, store: SqlStore) -> None:
        await store.walk_page(1.0, ["app"])
        (claim,) = await store.claim(10, 60)
        assert claim.repository == "app"
        assert await store.claim(10, 60) == []

    async def test_a_claim_that_ran_out_can_be_taken_over_and_the_first_one_writes_nothing(
        self, store: SqlStore
    ) -> None:
        await store.walk_page(1.0, ["app"])
        (first,) = await store.claim(10, 0)
        (second,) = await store.claim(10, 60)
        assert second.fence > first.fence
        assert await store.apply(first, reading({"late": "a"})) is None
        assert await store.apply(second, reading({"v1": "a"})) is not None
        assert [tag.tag for tag in (await store.tags("app", "", 10)).tags] == ["v1"]

    async def test_a_notification_during_a_read_asks_for_another(self, store: SqlStore) -> None:
        await store.walk_page(1.0, ["app"])
        (claim,) = await store.claim(10, 60)
        await store.notify([Notice("app")])
        applied = await store.apply(claim, reading({"v1": "a"}))
        assert applied is not None
        assert not applied.settled
        settled = await store.apply(await claimed(store, "app"), reading({"v1": "a"}))
        assert settled is not None
        assert settled.settled

    async def test_a_settled_repository_is_not_claimed(self, store: SqlStore) -> None:
        await write(store, "app", reading({"v1": "a"}))
        assert await store.claim(10, 60) == []

    async def test_what_was_notified_comes_before_what_the_walk_wants(self, store: SqlStore) -> None:
        await write(store, "notified", reading())
        await store.walk_page(1.0, ["walked"])
        await store.notify([Notice("notified")])
        # The first look is not at once: a push is announced before its tag is written.
        await asyncio.sleep(0.03)
        (claim,) = await store.claim(1, 60)
        assert claim.repository == "notified"
        assert not claim.by_walk
        (claim,) = await store.claim(1, 60)
        assert claim.by_walk

    async def test_notifications_do_not_keep_the_walk_waiting_for_ever(self, store: SqlStore) -> None:
        await write(store, "walked", reading())
        await write(store, "busy", reading())
        await store.request_read(["walked"])
        (claim,) = await store.claim(1, 60)
        # It has been waiting for longer than any notified repository may go before it.
        await store.failed(claim, "", -40)
        await store.notify([Notice("busy")])
        await asyncio.sleep(0.03)
        (claim,) = await store.claim(1, 60)
        assert claim.repository == "walked"

    async def test_a_failed_read_changes_nothing_and_is_tried_later(self, store: SqlStore) -> None:
        await write(store, "app", reading({"v1": "a"}))
        await store.notify([Notice("app")])
        await store.failed(await claimed(store, "app"), "the registry failed: \0\ud800", 300)
        assert await store.claim(10, 60) == []
        assert [tag.tag for tag in (await store.tags("app", "", 10)).tags] == ["v1"]

    async def test_a_read_that_began_before_a_delete_of_the_gateway_does_not_count(self, store: SqlStore) -> None:
        await write(store, "app", reading({"v1": "a", "v2": "b"}))
        await store.notify([Notice("app")])
        claim = await claimed(store, "app")
        head = (await store.state()).head
        await store.deleted("app", tag="v1")
        assert told(await all_changes(store, head)) == [("TAG_DELETED", "app", "v1")]
        assert await store.apply(claim, reading({"v1": "a", "v2": "b"})) is None
        assert [tag.tag for tag in (await store.tags("app", "", 10)).tags] == ["v2"]
        assert (await claimed(store, "app")).repository == "app"

    async def test_a_delete_of_a_digest_takes_all_tags_on_it(self, store: SqlStore) -> None:
        await write(store, "app", reading({"v1": "a", "v2": "b", "v3": "a"}))
        head = (await store.state()).head
        await store.deleted("app", digest=digest("a"))
        assert told(await all_changes(store, head)) == [("TAG_DELETED", "app", "v1"), ("TAG_DELETED", "app", "v3")]

    async def test_after_a_delete_of_a_digest_the_index_does_not_answer_until_it_has_read(
        self, store: SqlStore
    ) -> None:
        # The registry has moved v1 to this digest, which the index does not know.
        await write(store, "app", reading({"v1": "a"}))
        await store.deleted("app", digest=digest("b"))
        assert (await store.tags("app", "", 10)).read_at is None
        # The current state of a watch says since when it is known, and not 1970.
        now = (await store.state()).now
        assert all(now - (entry.read_at or 0.0) < 60 for entry in await store.repository_tags(("", ""), "", 10))
        await store.apply(await claimed(store, "app"), reading())
        assert (await store.tags("app", "", 10)).read_at is not None

    async def test_a_claim_can_be_kept_until_it_is_taken_over(self, store: SqlStore) -> None:
        await store.walk_page(1.0, ["app"])
        (claim,) = await store.claim(10, 0)
        assert await store.extend(claim, 60)
        assert await store.claim(10, 60) == []
        await store.deleted("app")
        assert not await store.extend(claim, 60)


class TestHints:
    async def test_a_confirmed_hint_says_who_and_when(self, store: SqlStore) -> None:
        await write(store, "app", reading({"v1": "a"}), Hint("v1", digest("a"), 5.0, "ci"))
        change = (await all_changes(store))[-1]
        assert (change.actor, change.notified_at) == ("ci", 5.0)

    async def test_a_hint_of_another_digest_is_not_told_as_the_origin(self, store: SqlStore) -> None:
        await write(store, "app", reading({"v1": "other"}), Hint("v1", digest("a"), 5.0, "ci"))
        change = (await all_changes(store))[-1]
        assert (change.actor, change.notified_at) == ("", None)

    async def test_a_repository_is_read_again_until_the_hint_is_confirmed(self, store: SqlStore) -> None:
        # A push is announced before its tag is written.
        applied = await write(store, "app", reading(), Hint("v1", digest("a")))
        assert not applied.settled
        again = await store.apply(await claimed(store, "app"), reading({"v1": "a"}))
        assert again is not None
        assert again.settled

    async def test_a_hint_that_is_never_confirmed_is_given_up_and_counted(self, store: SqlStore) -> None:
        applied = await write(store, "app", reading(), Hint("v1", digest("a")))
        looks = 1
        while not applied.settled:
            following = await store.apply(await claimed(store, "app"), reading())
            assert following is not None
            applied = following
            looks += 1
        assert (looks, applied.unconfirmed) == (3, 1)

    async def test_the_last_hint_of_a_tag_counts(self, store: SqlStore) -> None:
        applied = await write(store, "app", reading({"v1": "b"}), Hint("v1", digest("a")), Hint("v1", digest("b")))
        assert applied.settled

    async def test_the_hint_of_a_delete_is_confirmed_by_the_missing_tag(self, store: SqlStore) -> None:
        await write(store, "app", reading({"v1": "a"}))
        applied = await write(store, "app", reading(), Hint("v1", None, 7.0, "ops"))
        assert applied.settled
        change = (await all_changes(store))[-1]
        assert (change.type, change.actor) == (ChangeType.TAG_DELETED, "ops")

    async def test_hints_are_bounded_and_the_repository_is_read_all_the_same(self, store: SqlStore) -> None:
        await write(store, "app", reading())
        await store.notify([Notice("app", Hint(f"v{number}", digest("a"))) for number in range(5)])
        assert len((await claimed(store, "app")).hints) == 2

    async def test_unknown_repositories_are_bounded(self, store: SqlStore) -> None:
        await write(store, "known", reading())
        assert await store.notify([Notice(f"forged{number}") for number in range(5)]) == 2
        assert (await store.state(counted=True)).dirty == 3
        assert await store.notify([Notice("forged9"), Notice("known")]) == 1
        assert (await store.state(counted=True)).dirty == 4

    async def test_an_announced_repository_is_not_listed_before_it_was_read(self, store: SqlStore) -> None:
        await store.notify([Notice("app")])
        assert (await store.catalog("", "", 10, tags=True)).repositories == ()
        await store.apply(await claimed(store, "app"), GONE)
        assert told(await all_changes(store)) == []
        assert (await store.state(counted=True)).dirty == 0


class TestWalk:
    async def test_what_the_catalog_lists_is_listed_and_not_read_yet(self, store: SqlStore) -> None:
        await store.walk_page(1.0, ["b", "a"])
        rows = await store.catalog("", "", 10, tags=True)
        assert [(entry.name, entry.read_at) for entry in rows.repositories] == [("a", None), ("b", None)]
        assert rows.state.walk_started is None

    async def test_the_end_of_a_walk_says_when_it_began(self, store: SqlStore) -> None:
        await store.walk_page(5.0, ["a"])
        assert not (await store.end_walk(5.0)).held
        state = await store.state()
        assert state.walk_started == 5.0
        assert not state.walk_requested

    async def test_a_missing_repository_is_read_and_only_its_own_answer_removes_it(self, store: SqlStore) -> None:
        await write(store, "kept", reading({"v1": "a"}))
        started = (await store.state()).now + 1
        ended = await store.end_walk(started)
        assert (ended.missing, ended.held) == (1, False)
        # A catalog that holds as of this walk names what the walk found, and what was read since.
        for tags in (False, True):
            assert (await store.catalog("", "", 10, tags=tags)).repositories == ()
        assert [entry.tag for entry in (await store.tags("kept", "", 10)).tags] == ["v1"]
        await store.apply(await claimed(store, "kept"), GONE)
        assert (await store.tags("kept", "", 10)).read_at is None
        assert told(await all_changes(store))[-1] == ("REPOSITORY_DELETED", "kept", "")

    async def test_a_missing_repository_that_is_still_there_is_listed_again(self, store: SqlStore) -> None:
        await write(store, "app", reading({"v1": "a"}))
        await store.end_walk((await store.state()).now)
        assert (await store.catalog("", "", 10, tags=True)).repositories == ()
        await store.apply(await claimed(store, "app"), reading({"v1": "a"}))
        assert [entry.name for entry in (await store.catalog("", "", 10, tags=True)).repositories] == ["app"]
        assert told(await all_changes(store)) == [("REPOSITORY_CREATED", "app", ""), ("TAG_CREATED", "app", "v1")]

    async def test_a_walk_that_misses_too_much_is_believed_the_second_time(self, store: SqlStore) -> None:
        for number in range(12):
            await write(store, f"app{number}", reading({"v1": "a"}))
        started = (await store.state()).now + 1
        assert (await store.end_walk(started)).held
        assert await store.claim(100, 60) == []
        assert len((await store.catalog("", "", 100, tags=False)).repositories) == 12
        assert (await store.state()).walk_requested
        assert not (await store.end_walk(started + 1)).held
        assert len(await store.claim(100, 60)) == 12

    async def test_a_walk_reads_all_repositories_again(self, store: SqlStore) -> None:
        await write(store, "app", reading({"v1": "a"}))
        started = (await store.state()).now + 1
        await store.walk_page(started, ["app"])
        await store.end_walk(started)
        assert (await claimed(store, "app")).by_walk

    async def test_ready_once_every_repository_was_read_or_failed(self, store: SqlStore) -> None:
        assert not await store.check_ready()
        await store.walk_page(1.0, ["good", "bad"])
        await store.end_walk(1.0)
        assert not await store.check_ready()
        await store.apply(await claimed(store, "good"), reading())
        await store.failed(await claimed(store, "bad"), "the registry failed", 300)
        assert await store.check_ready()
        assert (await store.state()).ready

    async def test_names_that_are_not_valid_are_listed_and_go_when_they_are_gone(self, store: SqlStore) -> None:
        await store.walk_page(1.0, ["app"], ["UPPER", "zero\0"])
        assert len((await store.catalog("", "", 10, tags=False)).repositories) == 3
        started = (await store.state()).now + 1
        await store.walk_page(started, ["app"], ["UPPER"])
        await store.end_walk(started)
        assert [entry.name for entry in (await store.catalog("", "", 10, tags=False)).repositories] == ["UPPER", "app"]

    async def test_of_a_walk_without_an_end_stays_what_is_known_otherwise(self, store: SqlStore) -> None:
        await store.walk_page(1.0, ["listed"], ["LISTED"])
        await store.end_walk(1.0)
        ended = (await store.state()).now
        while (await store.state()).now <= ended:
            pass
        await store.walk_page(2.0, ["listed", "made-up/1", "read", "notified", "made-up/2"], ["MADE-UP"])
        await store.apply(await claimed(store, "read"), reading({"v1": "a"}))
        await store.notify([Notice("notified")])
        claim = await claimed(store, "made-up/1")
        await store.forget_unfinished_walk()
        rows = (await store.catalog("", "", 10, tags=False)).repositories
        assert [entry.name for entry in rows] == ["LISTED", "listed", "notified", "read"]
        # What is read of one that was forgotten is not written.
        assert await store.apply(claim, reading({"v1": "a"})) is None

    async def test_of_the_first_walk_without_an_end_nothing_stays(self, store: SqlStore) -> None:
        await store.walk_page(1.0, [f"made-up/{number}" for number in range(7)])
        await store.forget_unfinished_walk()
        assert (await store.catalog("", "", 10, tags=False)).repositories == ()

    async def test_there_is_room_for_a_limited_number_of_repositories(self, store: SqlStore) -> None:
        await store.walk_page(1.0, ["a", "b", "c"])
        # Repositories that only notifications named have a limit of their own.
        await store.notify([Notice("notified")])
        assert await store.has_room()
        await store.walk_page(1.0, ["d"])
        assert not await store.has_room()

    async def test_a_new_instance_of_the_registry_asks_for_a_walk(self, store: SqlStore) -> None:
        await store.end_walk(1.0)
        await store.notify([], ["instance-1"])
        assert (await store.state()).walk_requested
        await store.end_walk(2.0)
        await store.notify([], ["instance-1"])
        assert not (await store.state()).walk_requested


class TestLead:
    async def test_one_leads_until_its_time_is_over(self, store: SqlStore) -> None:
        first = await store.lead("one", 60)
        assert first is not None
        assert await store.lead("two", 60) is None
        assert await store.lead("one", 0) == first
        await asyncio.sleep(0.01)
        second = await store.lead("two", 60)
        assert second is not None
        assert second.fence > first.fence

    async def test_whoever_resigns_leaves_the_lead_to_others(self, store: SqlStore) -> None:
        await store.lead("one", 60)
        await store.resign("one")
        assert await store.lead("two", 60) is not None


class TestAnswers:
    @pytest.fixture(autouse=True)
    async def content(self, store: SqlStore) -> None:
        await write(store, "team/a", reading({"v1": "a", "v2": "b"}))
        await write(store, "team/b", reading({"v1": "a"}))
        await write(store, "other", reading())

    async def test_a_page_of_the_catalog_with_tags(self, store: SqlStore) -> None:
        rows = await store.catalog("", "", 2, tags=True)
        assert [(entry.name, entry.tags) for entry in rows.repositories] == [("other", ()), ("team/a", ("v1", "v2"))]
        assert rows.repositories[0].read_at is not None
        rows = await store.catalog("team/a", "", 2, tags=True)
        assert [entry.name for entry in rows.repositories] == ["team/b"]

    async def test_only_names_with_the_prefix(self, store: SqlStore) -> None:
        rows = await store.catalog("", "team/", 10, tags=False)
        assert [entry.name for entry in rows.repositories] == ["team/a", "team/b"]

    async def test_a_catalog_that_was_listed_before_has_the_tags_of_now(
        self, store: SqlStore, open_store: OpenStore
    ) -> None:
        async def tags() -> dict[str, tuple[str, ...]]:
            return {entry.name: entry.tags for entry in (await store.catalog("", "team/", 10, tags=True)).repositories}

        assert await tags() == {"team/a": ("v1", "v2"), "team/b": ("v1",)}
        await write(store, "team/a", reading({"v2": "a", "v3": "a"}))
        assert await tags() == {"team/a": ("v2", "v3"), "team/b": ("v1",)}
        await store.deleted("team/a", tag="v2")
        assert await tags() == {"team/a": ("v3",), "team/b": ("v1",)}
        await store.deleted("team/b", digest=digest("a"))
        assert await tags() == {"team/a": ("v3",), "team/b": ()}
        async with open_store(keeps=False) as other:
            await write(other, "team/b", reading({"new": "a"}))
        assert await tags() == {"team/a": ("v3",), "team/b": ("new",)}
        await write(store, "team/a", GONE)
        assert await tags() == {"team/b": ("new",)}

    @pytest.mark.parametrize("tags", [True, False])
    async def test_a_page_that_did_not_change_is_the_same_object(
        self, store: SqlStore, open_store: OpenStore, tags: bool
    ) -> None:
        async def page(after: str = "", size: int = 2) -> CatalogPage:
            return (await store.catalog(after, "", size, tags=tags)).page

        first, all_three = await page(), await page(size=10)
        assert first.more
        assert not all_three.more
        assert await page() is first
        # Something else was written: the page is made of the same rows.
        assert await store.lead("a", 60)
        assert await page() is first
        async with open_store(keeps=False) as other:
            await write(other, "team/b", reading({"v1": "a"}))
        assert await page(size=10) is not all_three
        assert (await page()).repositories == first.repositories

    async def test_a_page_ends_where_its_last_repository_was_removed(self, store: SqlStore) -> None:
        assert (await store.catalog("", "", 2, tags=True)).page.more
        await write(store, "team/b", GONE)
        assert not (await store.catalog("", "", 2, tags=True)).page.more

    async def test_a_page_that_was_listed_before_loses_what_a_walk_does_not_find(self, store: SqlStore) -> None:
        assert len((await store.catalog("", "", 10, tags=True)).repositories) == 3
        started = (await store.state()).now + 1
        await store.walk_page(started, ["other", "team/a"])
        await store.end_walk(started)
        assert [each.name for each in (await store.catalog("", "", 10, tags=True)).repositories] == ["other", "team/a"]

    async def test_a_page_knows_when_its_oldest_repository_was_read(self, store: SqlStore) -> None:
        page = (await store.catalog("", "", 10, tags=True)).page
        assert page.oldest_read == min(each.read_at or 0.0 for each in page.repositories)
        await store.walk_page(1.0, ["unread"])
        assert (await store.catalog("", "", 10, tags=True)).page.oldest_read is None

    async def test_a_claim_is_used_up_when_it_was_applied(self, store: SqlStore) -> None:
        await store.notify([Notice("team/a")])
        claim = await claimed(store, "team/a")
        assert await store.apply(claim, reading({"v3": "a"}))
        assert await store.apply(claim, reading({"v4": "a"})) is None
        assert [entry.tag for entry in (await store.tags("team/a", "", 10)).tags] == ["v3"]

    async def test_tags_that_the_registry_did_not_resolve_are_told_from_the_others(self, store: SqlStore) -> None:
        await write(store, "team/b", reading({"broken\n": None, "v1": "a"}))
        rows = await store.catalog("", "team/", 10, tags=True)
        assert [(entry.tags, entry.resolved) for entry in rows.repositories] == [
            (("v1", "v2"), True),
            (("broken\n", "v1"), False),
        ]

    async def test_a_page_with_a_prefix_continues_and_begins_at_it(self, store: SqlStore) -> None:
        for after in ("", "other", "team"):
            rows = await store.catalog(after, "team/", 1, tags=True)
            assert [entry.name for entry in rows.repositories] == ["team/a"]
        assert (await store.catalog("team/b", "team/", 1, tags=True)).repositories == ()
        assert (await store.catalog("z", "team/", 1, tags=True)).repositories == ()

    async def test_tags_go_on_within_a_repository_and_with_the_next(self, store: SqlStore) -> None:
        async def pages(prefix: str, size: int) -> list[tuple[str, str]]:
            found: list[tuple[str, str]] = []
            after = ("", "")
            while entries := await store.repository_tags(after, prefix, size):
                assert len(entries) <= size
                found += [(entry.repository, entry.tag) for entry in entries]
                after = found[-1]
            return found

        everything = [("other", ""), ("team/a", "v1"), ("team/a", "v2"), ("team/b", "v1")]
        for size in (1, 2, 3, 10):
            assert await pages("", size) == everything
            assert await pages("team/", size) == everything[1:]
        # A position that is not of this prefix.
        assert [entry.tag for entry in await store.repository_tags(("z", "v1"), "team/", 10)] == []
        entries = await store.repository_tags(("other", "v1"), "team/", 10)
        assert [entry.repository for entry in entries] == ["team/a", "team/a", "team/b"]

    async def test_names_are_in_the_order_of_their_bytes(self, store: SqlStore) -> None:
        await write(store, "team/x", reading({"b": "a", "B": "a", "_": "a", "a": "a"}))
        assert [entry.tag for entry in (await store.tags("team/x", "", 10)).tags] == ["B", "_", "a", "b"]
        assert [entry.tag for entry in (await store.tags("team/x", "_", 1)).tags] == ["a"]

    async def test_the_tags_of_an_unknown_repository_are_not_empty_but_unknown(self, store: SqlStore) -> None:
        assert (await store.tags("nothing", "", 10)).read_at is None

    async def test_a_page_of_tags_is_one_statement(self, store: SqlStore) -> None:
        statements: list[Statement] = []

        def counted() -> Transaction[TagRows]:
            transaction = store._transactions.tags("team/a", "", 10)
            statement = next(transaction)
            while True:
                statements.append(statement)
                rows = yield statement
                try:
                    statement = transaction.send(rows)
                except StopIteration as ended:
                    found: TagRows = ended.value
                    return found

        rows = await store._read(counted)
        assert [entry.tag for entry in rows.tags] == ["v1", "v2"]
        assert rows.state.head == (await store.state()).head
        assert len(statements) == 1

    async def test_tags_by_digest(self, store: SqlStore) -> None:
        found = await store.find_by_digest(digest("a"), "", ("", ""), 10)
        assert [(entry.repository, entry.tag) for entry in found.tags] == [("team/a", "v1"), ("team/b", "v1")]
        found = await store.find_by_digest(digest("a"), "", ("team/a", "v1"), 10)
        assert [(entry.repository, entry.tag) for entry in found.tags] == [("team/b", "v1")]

    async def test_tags_after_one(self, store: SqlStore) -> None:
        found = await store.tags_containing("v", "team/", ("team/a", "v1"), 10, 10)
        assert [(entry.repository, entry.tag) for entry in found.tags] == [("team/a", "v2"), ("team/b", "v1")]
        assert found.following is None

    async def test_tags_that_contain_a_text(self, store: SqlStore) -> None:
        async def looks(text: str, size: int, looked_at: int) -> list[list[str]]:
            after: tuple[str, str] | None = ("", "")
            tags = []
            while after is not None:
                found = await store.tags_containing(text, "team/", after, size, looked_at)
                tags.append([f"{entry.repository}:{entry.tag}" for entry in found.tags])
                after = found.following
            return tags

        assert await looks("2", 10, 10) == [["team/a:v2"]]
        assert await looks("%", 10, 10) == [[]]
        # One tag at a time is found; then one is looked at.
        ((*everything,),) = await looks("v", 10, 10)
        for size, looked_at in ((1, 10), (10, 1)):
            assert [tag for tags in await looks("v", size, looked_at) for tag in tags] == everything
        assert len(await looks("2", 10, 1)) == 4

    async def test_the_history_of_a_tag_latest_first(self, store: SqlStore) -> None:
        await write(store, "team/a", reading({"v1": "c", "v2": "b"}))
        await write(store, "team/a", reading({"v2": "b"}))
        history = await store.history("team/a", "v1", 2**62, 2)
        assert [change.type for change in history.changes] == [ChangeType.TAG_DELETED, ChangeType.TAG_MOVED]
        rest = await store.history("team/a", "v1", history.changes[-1].sequence, 10)
        assert [change.type for change in rest.changes] == [ChangeType.TAG_CREATED]

    async def test_counts(self, store: SqlStore) -> None:
        state = await store.state(counted=True)
        assert (state.repositories, state.tags, state.dirty, state.oldest_dirty) == (3, 3, 0, None)

    async def test_tags_of_several_repositories(self, store: SqlStore) -> None:
        entries = await store.repository_tags(("", ""), "", 3)
        assert [(entry.repository, entry.tag) for entry in entries] == [
            ("other", ""),
            ("team/a", "v1"),
            ("team/a", "v2"),
        ]
        rest = await store.repository_tags(("team/a", "v1"), "team/", 10)
        assert [(entry.repository, entry.tag) for entry in rest] == [("team/a", "v2"), ("team/b", "v1")]
        assert [entry.tag for entry in await store.repository_tags(("other", ""), "", 1)] == ["v1"]


class TestLife:
    async def test_what_was_written_is_there_after_a_restart(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            await write(store, "app", reading({"v1": "a"}))
            epoch = (await store.state()).epoch
        async with open_store() as store:
            assert (await store.state()).epoch == epoch
            assert [entry.tag for entry in (await store.tags("app", "", 10)).tags] == ["v1"]

    async def test_the_index_of_another_registry_is_refused(self, open_store: OpenStore) -> None:
        async with open_store():
            pass
        with pytest.raises(StoreUnusable, match="another registry"):
            async with open_store("http://other.example"):
                pass

    async def test_a_rebuild_begins_a_new_epoch_and_ends_all_claims(self, store: SqlStore) -> None:
        await write(store, "app", reading({"v1": "a"}))
        await store.notify([Notice("app")])
        claim = await claimed(store, "app")
        before = await store.state()
        await store.rebuild()
        after = await store.state()
        assert after.epoch != before.epoch
        assert (after.head, after.walk_requested, after.ready) == (0, True, False)
        assert await store.apply(claim, Reading(frozenset(), {})) is None
        assert (await store.catalog("", "", 10, tags=False)).repositories == ()
