"""The index over a registry in memory: it finds what is there, and never takes a failure for nothing."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from portus_gateway.devregistry import DevRegistry, Fault
from portus_gateway.distribution import Configuration, DistributionClient, paging
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.index import walker
from portus_gateway.index.errors import IndexUnavailable, StoreError
from portus_gateway.index.live_index import LiveIndex
from portus_gateway.index.sqlite import SqliteStore
from portus_gateway.index.store import ChangeType, Hint, Notice, StoreLimits
from tests.distribution.upstream import Upstream
from tests.index.registries import PLAN, Observed, content_in, content_of, equal, indexed, until


@pytest.fixture
async def registry() -> AsyncGenerator[DevRegistry, None]:
    async with DevRegistry(auth="anonymous") as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.db"


async def test_the_first_walk_finds_everything(registry: DevRegistry, path: Path) -> None:
    registry.push("team/app", "v1", "latest")
    registry.push_many([f"many/{number}" for number in range(30)], ["a", "b"])
    async with indexed(registry, path) as index:
        await equal(index, registry)
        await until(lambda: _is_ready(index))


async def test_only_the_process_that_leads_counts_what_there_is(registry: DevRegistry, path: Path) -> None:
    registry.push("app", "v1", "v2")
    async with indexed(registry, path) as index:
        await equal(index, registry)
    observed = Observed()
    async with SqliteStore(path, registry.url, keeps=False) as other:
        assert await other.lead("another process", 60)
        async with indexed(registry, path, observed=observed):
            await until(lambda: bool(observed.tags))
        assert (observed.tags, observed.leads) == ([0], False)
        await other.resign("another process")
    async with indexed(registry, path, observed=observed):
        await until(lambda: observed.tags[-1] == 2)


async def test_a_notification_leads_to_a_read(registry: DevRegistry, path: Path) -> None:
    registry.push("app", "v1")
    observed = Observed()
    async with indexed(registry, path, observed=observed) as index:
        await equal(index, registry)
        digest = registry.push("app", "v2")
        registry.push("new/app", "v1")
        await index.notify([Notice("app", Hint("v2", Digest(digest), 1.0, "ci")), Notice("new/app")], ["one"])
        await equal(index, registry)
        change = (await index.store.changes(0)).changes
        assert {(each.repository, each.tag, each.actor) for each in change if each.actor} == {("app", "v2", "ci")}
        assert observed.changes["notification"] == 3
        assert len(observed.delays) == 1


async def test_a_push_that_is_announced_before_its_tag_is_written(registry: DevRegistry, path: Path) -> None:
    registry.push("app", "v1")
    async with indexed(registry, path) as index:
        await equal(index, registry)
        later = DevRegistry(auth="anonymous").push("app", "v2")
        await index.notify([Notice("app", Hint("v2", Digest(later)))], [])
        # The first look finds the old state.
        reads = registry.requests.count(route="tags")
        await until(lambda: registry.requests.count(route="tags") > reads)
        registry.push("app", "v2")
        await equal(index, registry)


async def test_a_forged_notification_changes_nothing(registry: DevRegistry, path: Path) -> None:
    digest = registry.push("app", "v1")
    async with indexed(registry, path) as index:
        await equal(index, registry)
        await index.notify(
            [Notice("nowhere"), Notice("app", Hint("v9", Digest(digest))), Notice("app", Hint("v1", None))], []
        )
        reads = registry.requests.count(route="tags")
        await until(lambda: registry.requests.count(route="tags") >= reads + 3)
        assert await content_of(index) == content_in(registry)


async def test_a_delete_that_the_store_did_not_take_is_found_by_a_walk_at_once(
    registry: DevRegistry, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.push("app", "v1", "v2")
    async with indexed(registry, path, plan=replace(PLAN, walk_interval=3600)) as index:
        await equal(index, registry)
        await until(lambda: _is_settled(index))

        async def fail(*_: object, **__: object) -> None:
            raise StoreError("it was away for a moment")

        registry.untag("app", "v1")
        with monkeypatch.context() as patch:
            patch.setattr(SqliteStore, "deleted", fail)
            await index.deleted(Repository("app"), tag=Tag("v1"))
        await equal(index, registry)


async def test_a_wish_for_a_walk_outlasts_a_failure_of_the_store(
    registry: DevRegistry, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: SqliteStore) -> None:
        raise StoreError("it is away")

    # This process only answers: another one leads, and walks.
    async with (
        SqliteStore(path, registry.url) as other,
        DistributionClient(Configuration(url=registry.url)) as client,
        LiveIndex(lambda: SqliteStore(path, registry.url, keeps=False), client, Observed(), PLAN, keeps=False) as index,
    ):

        async def is_requested() -> bool:
            return (await other.state()).walk_requested

        await other.end_walk((await other.state()).now)
        assert not await is_requested()
        with monkeypatch.context() as patch:
            patch.setattr(SqliteStore, "request_walk", fail)
            index.want_walk()
            await until(lambda: index.problem == "it is away")
        await until(is_requested)


@pytest.mark.parametrize("route", ["tags", "manifests"])
async def test_a_failure_is_never_read_as_empty(registry: DevRegistry, path: Path, route: str) -> None:
    registry.push("app", "v1")
    registry.push("other", "v1")
    observed = Observed()
    async with indexed(registry, path, plan=replace(PLAN, digest_interval=0), observed=observed) as index:
        await equal(index, registry)
        head = (await index.state()).head
        with registry.inject(Fault.parse(f"{route}:status=503")):
            await index.notify([Notice("app"), Notice("other")], [])
            await until(lambda: observed.reads.count("failed") >= 2)
        assert (await index.state()).head == head
        assert await content_of(index) == content_in(registry)


async def test_one_tag_that_cannot_be_read_keeps_its_digest_and_the_others_are_read(
    registry: DevRegistry, path: Path
) -> None:
    registry.push("app", "v1")
    async with indexed(registry, path, plan=replace(PLAN, digest_interval=0)) as index:
        await equal(index, registry)
        with registry.inject(Fault.parse("manifests:status=500")):
            await index.notify([Notice("app")], [])
            await until(lambda: _is_settled(index))
        assert await content_of(index) == content_in(registry)


async def test_a_moved_tag_is_found_without_a_notification(registry: DevRegistry, path: Path) -> None:
    registry.push("app", "v1")
    observed = Observed()
    plan = replace(PLAN, walk_interval=0.05, digest_interval=0)
    async with indexed(registry, path, plan=plan, observed=observed) as index:
        await equal(index, registry)
        registry.tag("app", "v1", registry.push("app", "v2"))
        await equal(index, registry)
        changes = (await index.store.changes(0)).changes
        assert ChangeType.TAG_MOVED in {change.type for change in changes}
        assert observed.changes.get("notification") is None


async def test_a_repository_that_is_gone_goes_after_a_walk(registry: DevRegistry, path: Path) -> None:
    registry.push("kept", "v1")
    async with DevRegistry(auth="anonymous", port=0) as other:
        other.push("kept", "v1")
        other.push("gone", "v1")
        async with indexed(other, path) as index:
            await equal(index, other)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE index_state SET registry = ?", (registry.url,))
    connection.commit()
    connection.close()
    async with indexed(registry, path) as index:
        await equal(index, registry)


async def test_a_repository_that_was_only_pushed_to_by_digest_is_in_the_index(
    registry: DevRegistry, path: Path
) -> None:
    registry.push("untagged")
    async with indexed(registry, path) as index:
        await until(lambda: _is_ready(index))
        assert (await content_of(index)) == {"untagged": {}}
        assert [change.type.name for change in (await index.store.changes(0)).changes] == ["REPOSITORY_CREATED"]


async def test_the_index_is_there_again_after_a_restart_and_sees_what_changed_meanwhile(
    registry: DevRegistry, path: Path
) -> None:
    registry.push("app", "v1", "v2")
    async with indexed(registry, path) as index:
        await equal(index, registry)
        head = (await index.state()).head
    registry.untag("app", "v1")
    async with indexed(registry, path) as index:
        assert (await index.state()).head >= head
        await equal(index, registry)
        changes = (await index.store.changes(head)).changes
        assert [(change.type.name, change.tag) for change in changes] == [("TAG_DELETED", "v1")]


async def test_a_delete_of_the_gateway_is_there_at_once(registry: DevRegistry, path: Path) -> None:
    digest = registry.push("app", "v1", "v2")
    async with indexed(registry, path) as index:
        await equal(index, registry)
        registry.delete("app", digest)
        await index.deleted(Repository("app"), digest=Digest(digest))
        assert (await content_of(index))["app"] == {}


async def test_requests_of_the_index_never_take_more_than_their_share(registry: DevRegistry, path: Path) -> None:
    registry.push_many([f"many/{number}" for number in range(50)], ["a", "b", "c"])
    with registry.inject(Fault.parse("manifests:delay=0.01")):
        async with indexed(registry, path, plan=replace(PLAN, share=2)) as index:
            most = 0

            async def settled() -> bool:
                nonlocal most
                most = max(most, sum(record.status is None for record in registry.requests))
                return await content_of(index) == content_in(registry)

            await until(settled, 30)
            # One more for the walk.
            assert 1 <= most <= 3


async def test_without_a_store_the_index_says_so_and_opens_it_later(registry: DevRegistry, tmp_path: Path) -> None:
    folder = tmp_path / "later"
    path = folder / "index.db"
    registry.push("app", "v1")
    async with (
        DistributionClient(Configuration(url=registry.url)) as client,
        LiveIndex(lambda: SqliteStore(path, registry.url), client, Observed(), PLAN, keeps=True) as index,
    ):
        await until(lambda: "its folder must exist" in index.problem)
        with pytest.raises(IndexUnavailable):
            await index.state()
        folder.mkdir()
        async with asyncio.timeout(10):
            await index.opened()
        await equal(index, registry)


async def _is_ready(index: LiveIndex) -> bool:
    return (await index.state()).ready


async def _is_settled(index: LiveIndex) -> bool:
    return (await index.state(counted=True)).dirty == 0


class EndlessCatalog:
    """Names new repositories on each page, and never the last one. It fails to list their tags."""

    def __init__(self) -> None:
        self.pages = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/tags/list"):
            return web.Response(status=503)
        if not request.path.endswith("/_catalog"):
            return web.json_response({}, headers={"Docker-Distribution-Api-Version": "registry/2.0"})
        self.pages += 1
        names = [f"made-up/{self.pages}-{number}" for number in range(100)]
        return web.json_response(
            {"repositories": names}, headers={"Link": f'</v2/_catalog?page={self.pages}>; rel="next"'}
        )


async def test_a_catalog_without_an_end_does_not_fill_the_store(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "MOST_NAMES", 500)
    # There is one walk only.
    monkeypatch.setattr(walker, "_FIRST_RETRY", 3600.0)
    observed, endless = Observed(), EndlessCatalog()
    async with Upstream() as registry:
        registry.script(endless)
        async with indexed(registry, path, observed=observed) as index:
            await until(lambda: observed.failed_walks == 1)
            assert (await index.store.catalog("", "", 1000, tags=False)).repositories == ()
    assert endless.pages == 6


async def test_an_index_that_has_too_many_repositories_takes_in_no_more_and_says_what_to_do(
    registry: DevRegistry, path: Path
) -> None:
    registry.push("team/app", "v1")
    registry.push("team/api", "v1")
    observed = Observed()
    async with indexed(registry, path, observed=observed, limits=StoreLimits(repositories=2)) as index:
        await equal(index, registry)
        await until(lambda: bool(observed.walks))
        registry.push("new/app", "v1")
        with capture_logs() as logs:
            index.want_walk()
            await until(lambda: observed.failed_walks == 1)
        assert "new/app" not in await content_of(index)
    (problem,) = [entry["problem"] for entry in logs if entry["event"].startswith("the catalog could not be walked")]
    assert "`portus-gateway index rebuild`" in problem
