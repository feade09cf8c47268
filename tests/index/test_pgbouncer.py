"""PostgreSQL behind PgBouncer in transaction mode: each transaction may get another session."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from portus.registry.v1.registry_service_pb2 import CatalogRequest
from portus.registry.v1.watch_pb2 import WatchEventsRequest
from portus_gateway.devregistry import DevRegistry
from portus_gateway.index.postgres import PostgresStore
from portus_gateway.index.store import Hint, Notice
from tests.index.gateways import indexed_gateway
from tests.index.pgbouncer import SESSIONS, PgBouncer
from tests.index.stores import LIMITS, REGISTRY, all_changes, digest, reading, write


@pytest.fixture
async def registry() -> AsyncGenerator[DevRegistry, None]:
    async with DevRegistry(auth="anonymous") as running:
        for number in range(20):
            running.push(f"team/app{number}", "v1", "v2")
        yield running


async def test_more_stores_than_sessions_write_at_the_same_time(pooler: PgBouncer) -> None:
    url = pooler.new_database()
    stores = [PostgresStore(url, REGISTRY, limits=LIMITS) for _ in range(6)]
    names = [f"app{number}" for number in range(24)]
    await asyncio.gather(*(store.__aenter__() for store in stores))
    try:
        await stores[0].walk_page(1.0, names)

        async def keep(store: PostgresStore) -> None:
            for _ in range(5):
                await store.notify([Notice(name) for name in names])
                for claim in await store.claim(100, 60):
                    await store.apply(claim, reading({"v1": "a"}))
                await store.catalog("", "", 100, tags=True)

        await asyncio.gather(*(keep(store) for store in stores * 2))
        # The last look is not at once after a notification.
        while len(changes := await all_changes(stores[0])) < 2 * len(names):
            for claim in await stores[0].claim(100, 60):
                await stores[0].apply(claim, reading({"v1": "a"}))
        assert [change.sequence for change in changes] == list(range(1, 2 * len(names) + 1))
        assert len({(await store.state()).epoch for store in stores}) == 1
    finally:
        for store in stores:
            await store.close()


async def test_nothing_is_left_in_a_session(pooler: PgBouncer) -> None:
    url = pooler.new_database()
    async with PostgresStore(url, REGISTRY, limits=LIMITS) as one, PostgresStore(url, REGISTRY, limits=LIMITS) as two:

        async def keep(store: PostgresStore) -> None:
            await write(store, "app", reading({"v1": "a"}), Hint("v1", digest("a")))
            await store.lead("holder", 60)
            await store.deleted("app", tag="v1")
            await store.state(counted=True)

        for store in (one, two):
            await keep(store)
        await asyncio.gather(*(store.catalog("", "", 10, tags=True) for store in (one, two) * 5))
        # So many transactions at once have all sessions between them.
        async with AsyncExitStack() as stack:
            for _ in range(SESSIONS):
                connection = await asyncpg.connect(url, statement_cache_size=0)
                stack.push_async_callback(connection.close)
                await stack.enter_async_context(connection.transaction())
                left = await connection.fetchrow(
                    "SELECT (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors),"
                    " (SELECT count(*) FROM pg_listening_channels()), pg_my_temp_schema()::int,"
                    " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),"
                    " current_setting('synchronous_commit')"
                )
                # The statement and the cursor of this question have no name.
                assert left is not None
                assert tuple(left) == (0, 1, 0, 0, 0, "on")


async def test_gateways_share_an_index_over_the_pooler(
    pooler: PgBouncer, registry: DevRegistry, tmp_path: Path
) -> None:
    url = pooler.new_database()
    async with (
        indexed_gateway(registry, tmp_path, index=url, index_walk_interval="1s") as one,
        indexed_gateway(registry, tmp_path, index=url, index_walk_interval="1s") as two,
    ):
        await one.ready()
        await two.ready()
        request = CatalogRequest(include_tags=True)
        request.max_staleness.seconds = 3600
        pages = [await gateway.stub.Catalog(request) for gateway in (one, two)]
        assert [len(page.repositories) for page in pages] == [20, 20]
        watch = two.stub.WatchEvents(WatchEventsRequest(after_cursor=pages[1].cursor))
        registry.push("team/app3", "v3")
        tags: list[str] = []
        async with asyncio.timeout(30):
            async for message in watch:
                tags += [event.tag for event in message.events]
                if tags:
                    break
        watch.cancel()
        assert tags == ["v3"]
