"""What only the PostgreSQL store does: its errors, and replicas that share it."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from portus_gateway.index.errors import StoreError, StoreUnusable
from portus_gateway.index.postgres import PostgresStore
from portus_gateway.index.store import Notice
from tests.index.postgres_server import WITH_PASSWORD, PostgresServer
from tests.index.stores import LIMITS, REGISTRY, all_changes, reading, write


async def failure(store: PostgresStore) -> StoreError:
    with pytest.raises(StoreError) as failed:
        async with store:
            pass
    return failed.value


async def test_a_database_that_does_not_exist(postgres: PostgresServer) -> None:
    error = await failure(PostgresStore(f"postgresql://postgres@/nothing?host={postgres.folder}", REGISTRY))
    assert isinstance(error, StoreUnusable)
    assert "has no such database" in str(error)


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    error = await failure(PostgresStore(f"postgresql://postgres@/index?host={tmp_path}", REGISTRY))
    assert "cannot be reached" in str(error)
    assert "its address in PORTUS_INDEX" in str(error)


async def test_a_password_file_that_is_not_there(tmp_path: Path) -> None:
    error = await failure(PostgresStore("postgresql://portus@host/index", REGISTRY, password_file=tmp_path / "none"))
    assert "password file of the index cannot be read" in str(error)


async def test_the_password_comes_from_a_file_and_a_wrong_one_is_told(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.new_database()
    owner = await asyncpg.connect(url)
    await owner.execute(f"DROP ROLE IF EXISTS {WITH_PASSWORD}")
    await owner.execute(f"CREATE ROLE {WITH_PASSWORD} LOGIN PASSWORD 'secret'")
    await owner.execute(f"GRANT CREATE ON SCHEMA public TO {WITH_PASSWORD}")
    await owner.close()
    as_user = url.replace("postgres@", f"{WITH_PASSWORD}@")
    password = tmp_path / "password"
    password.write_text("secret\n")
    async with PostgresStore(as_user, REGISTRY, password_file=password, limits=LIMITS) as store:
        await write(store, "app", reading({"v1": "a"}))
    password.write_text("wrong\n")
    error = await failure(PostgresStore(as_user, REGISTRY, password_file=password))
    assert isinstance(error, StoreUnusable)
    assert "rejects the user or its password" in str(error)
    assert "wrong" not in str(error)
    owner = await asyncpg.connect(url)
    await owner.execute(f"DROP OWNED BY {WITH_PASSWORD} CASCADE")
    await owner.execute(f"DROP ROLE {WITH_PASSWORD}")
    await owner.close()


async def test_a_user_that_may_not_write(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    owner = await asyncpg.connect(url)
    await owner.execute("DROP ROLE IF EXISTS reader")
    await owner.execute("CREATE ROLE reader LOGIN")
    await owner.close()
    error = await failure(PostgresStore(url.replace("postgres@", "reader@"), REGISTRY))
    assert isinstance(error, StoreUnusable)
    assert "does not let the user write" in str(error)


async def test_a_schema_of_a_newer_gateway(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    async with PostgresStore(url, REGISTRY):
        pass
    owner = await asyncpg.connect(url)
    await owner.execute("UPDATE index_schema SET version = 1000")
    await owner.close()
    assert "use the newer gateway again" in str(await failure(PostgresStore(url, REGISTRY)))


async def test_a_connection_that_is_lost_is_an_error_and_the_next_call_works(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    async with PostgresStore(url, REGISTRY, limits=LIMITS) as store:
        await write(store, "app", reading({"v1": "a"}))
        owner = await asyncpg.connect(url)
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await owner.close()
        with pytest.raises(StoreError):
            for _ in range(10):
                await store.state()
            raise StoreError("the pool has noticed before")
        assert [entry.tag for entry in (await store.tags("app", "", 10)).tags] == ["v1"]


@pytest.mark.parametrize(
    "error", [asyncpg.ConnectionDoesNotExistError, asyncpg.AdminShutdownError, asyncpg.CannotConnectNowError]
)
async def test_a_server_that_ends_at_any_moment_is_told_as_such(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, error: type[asyncpg.PostgresError]
) -> None:
    async def fail(*_: object) -> None:
        raise error("it ended")

    async with PostgresStore(postgres.new_database(), REGISTRY) as store:
        # Where it ends within a statement, a real server causes another one of these each time.
        monkeypatch.setattr("portus_gateway.index.postgres._executed", fail)
        with pytest.raises(StoreError, match="cannot be reached: it ended"):
            await store.state()


async def test_replicas_that_start_together_make_one_schema(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    stores = [PostgresStore(url, REGISTRY) for _ in range(5)]
    await asyncio.gather(*(store.__aenter__() for store in stores))
    assert len({(await store.state()).epoch for store in stores}) == 1
    for store in stores:
        await store.close()


async def test_replicas_share_the_work(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    async with PostgresStore(url, REGISTRY, limits=LIMITS) as one, PostgresStore(url, REGISTRY, limits=LIMITS) as two:
        names = [f"app{number}" for number in range(40)]
        await one.walk_page(1.0, names)
        claimed = await asyncio.gather(*(store.claim(5, 60) for store in (one, two) * 4))
        found = [claim.repository for claims in claimed for claim in claims]
        assert sorted(found) == sorted(names)


async def test_replicas_that_write_at_the_same_time_lose_nothing(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    names = [f"app{number}" for number in range(30)]
    async with PostgresStore(url, REGISTRY, limits=LIMITS) as one, PostgresStore(url, REGISTRY, limits=LIMITS) as two:
        await one.walk_page(1.0, names)

        async def keep(store: PostgresStore) -> None:
            for turn in range(10):
                await store.notify([Notice(name) for name in names])
                await store.walk_page(2.0 + turn, names[::-1])
                await store.end_walk(2.0 + turn)
                for claim in await store.claim(100, 60):
                    await store.apply(claim, reading({"v1": "a"}))

        await asyncio.gather(keep(one), keep(two), keep(one), keep(two))
        for claim in await one.claim(100, 60):
            await one.apply(claim, reading({"v1": "a"}))
        changes = await all_changes(one)
        assert [change.sequence for change in changes] == list(range(1, 2 * len(names) + 1))


async def test_the_times_of_changes_are_in_the_order_of_their_numbers(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    async with PostgresStore(url, REGISTRY, limits=LIMITS) as store:
        await store.walk_page(1.0, ["app"])
        (claim,) = await store.claim(1, 60)
        other = await asyncpg.connect(url)
        async with other.transaction():
            # Another replica writes changes: it has the next numbers.
            await other.execute("UPDATE index_state SET head = head + 1")
            late = asyncio.create_task(store.apply(claim, reading({"v1": "a"})))
            async with asyncio.timeout(10):
                while not await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                    await asyncio.sleep(0.01)
            written_at = await other.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
        await late
        await other.close()
        assert all(change.observed_at > written_at for change in await all_changes(store))
