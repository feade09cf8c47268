"""A clock that is set back: what seems to be known from the future is not taken for new, and is read again."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration

from portus.registry.v1.registry_service_pb2 import CatalogRequest, ListTagsRequest, StreamCatalogRequest
from portus_gateway.devregistry import DevRegistry
from portus_gateway.index import sqlite
from portus_gateway.index.sql_store import SqlStore
from portus_gateway.index.transactions import SQLITE, Transactions
from portus_gateway.index.walker import Walker
from tests.index.gateways import IndexedGateway, indexed_gateway
from tests.index.registries import equal, indexed
from tests.index.stores import LIMITS, claimed, reading, write

HOURS = 7200.0
STALENESS = Duration(seconds=3600)


@pytest.fixture
async def registry() -> AsyncGenerator[DevRegistry, None]:
    async with DevRegistry(auth="anonymous") as running:
        running.push("team/app", "v1", "moved")
        yield running


async def read_in_the_future(registry: DevRegistry, folder: Path, patches: pytest.MonkeyPatch) -> None:
    """Leaves an index that was read while the clock was ahead. Since then, a tag is new, one is gone, one has moved."""
    with patches.context() as patch:
        patch.setattr(sqlite, "SQLITE", replace(SQLITE, now=f"{SQLITE.now} + {HOURS}"))
        async with indexed_gateway(registry, folder) as gateway:
            await gateway.ready()
    registry.untag("team/app", "v1")
    registry.tag("team/app", "moved", registry.push("team/app", "v2"))


async def catalog(gateway: IndexedGateway) -> dict[str, str]:
    page = await gateway.stub.Catalog(CatalogRequest(include_tags=True, max_staleness=STALENESS))
    return {tag: "" for each in page.repositories for tag in each.tags}


async def stream(gateway: IndexedGateway) -> dict[str, str]:
    request = StreamCatalogRequest(include_tags=True, max_staleness=STALENESS)
    messages = [message async for message in gateway.stub.StreamCatalog(request)]
    return {tag: "" for message in messages for each in message.repositories for tag in each.tags}


async def names(gateway: IndexedGateway) -> dict[str, str]:
    answer = await gateway.stub.ListTags(ListTagsRequest(repository="team/app", max_staleness=STALENESS))
    return dict.fromkeys(answer.tags, "")


async def digests(gateway: IndexedGateway) -> dict[str, str]:
    request = ListTagsRequest(repository="team/app", view=ListTagsRequest.DESCRIPTORS, max_staleness=STALENESS)
    return {each.tag: each.descriptor.digest for each in (await gateway.stub.ListTags(request)).details}


@pytest.mark.parametrize("ask", [catalog, stream, names, digests])
async def test_an_answer_is_not_older_than_wanted(
    registry: DevRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[IndexedGateway], Awaitable[dict[str, str]]],
) -> None:
    async def wait(_: Walker) -> None:
        await asyncio.Event().wait()

    await read_in_the_future(registry, tmp_path, monkeypatch)
    # The index is not read again yet.
    monkeypatch.setattr(Walker, "run", wait)
    async with indexed_gateway(registry, tmp_path) as gateway:
        answer = await ask(gateway)
        assert answer.keys() == {"moved", "v2"}
        assert all(registry.tags("team/app")[tag] == digest for tag, digest in answer.items() if digest)


async def test_the_index_reads_everything_again_at_once(
    registry: DevRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await read_in_the_future(registry, tmp_path, monkeypatch)
    async with indexed(registry, tmp_path / "index.db") as index:
        await equal(index, registry)
        now = (await index.state()).now
        entries = await index.store.repository_tags(("", ""), "", 10)
        assert [entry.tag for entry in entries if entry.checked_at and entry.checked_at <= now] == ["moved", "v2"]


def set_clock(store: SqlStore, seconds: float) -> None:
    """From now on, the store's clock is so many seconds ahead."""
    dialect = store._transactions._dialect
    right = dialect.now.partition(" + 0")[0]
    store._transactions = Transactions(replace(dialect, now=f"{right} + 0{seconds:+}"), LIMITS)


async def test_what_was_claimed_or_put_off_is_due(store: SqlStore) -> None:
    set_clock(store, HOURS)
    await store.walk_page(1.0, ["claimed", "failed"])
    for claim in await store.claim(10, 30):
        if claim.repository == "failed":
            await store.failed(claim, "", 300)
    set_clock(store, 0)
    assert {claim.repository for claim in await store.claim(10, 30)} == {"claimed", "failed"}


async def test_a_read_that_began_before_is_repeated(store: SqlStore) -> None:
    set_clock(store, HOURS)
    await store.walk_page(1.0, ["app"])
    claim = await claimed(store, "app")
    set_clock(store, 0)
    applied = await store.apply(claim, reading({"v1": "a"}))
    assert applied is not None
    assert not applied.settled
    await store.apply(await claimed(store, "app"), reading({"v1": "a"}))
    rows = await store.tags("app", "", 10)
    assert rows.read_at is not None
    assert rows.read_at <= rows.state.now


async def test_a_walk_marks_what_was_read_before(store: SqlStore) -> None:
    set_clock(store, HOURS)
    await write(store, "app", reading({"v1": "a"}))
    set_clock(store, 0)
    started = (await store.state()).now
    await store.walk_page(started, ["app"])
    await store.end_walk(started)
    assert (await claimed(store, "app")).by_walk


async def test_what_a_walk_does_not_find_any_more_is_missing(store: SqlStore) -> None:
    set_clock(store, HOURS)
    await write(store, "gone", reading({"v1": "a"}))
    await store.walk_page((await store.state()).now, ["gone"], ["not/Valid"])
    set_clock(store, 0)
    started = (await store.state()).now
    await store.walk_page(started, ["app"])
    assert (await store.end_walk(started)).missing == 2
    assert [each.name for each in (await store.catalog("", "", 10, tags=False)).repositories] == ["app"]
    assert (await store.end_walk(started)).missing == 1


async def test_a_walk_misses_nothing_when_the_clock_is_set_back_meanwhile(store: SqlStore) -> None:
    set_clock(store, HOURS)
    started = (await store.state()).now
    await store.walk_page(started, ["app"], ["not/Valid"])
    set_clock(store, 0)
    assert (await store.end_walk(started)).missing == 0
    assert (await store.end_walk(started)).missing == 0
