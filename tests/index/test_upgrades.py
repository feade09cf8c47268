"""An index of an earlier version keeps its data. Each new version of the schema gets a file for each store."""

import sqlite3
from pathlib import Path

import asyncpg
import pytest

from portus_gateway.index.postgres import PostgresStore
from portus_gateway.index.sql_store import SqlStore
from portus_gateway.index.sqlite import SqliteStore
from tests.index.postgres_server import PostgresServer
from tests.index.stores import REGISTRY, digest, reading, write

HERE = Path(__file__).parent
VERSIONS = [1, 2]


def test_each_version_of_the_schema_has_its_files() -> None:
    for store in ("sqlite", "postgres"):
        steps = list((HERE.parents[1] / "server/portus_gateway/index/migrations" / store).glob("*.sql"))
        kept = sorted(file.name for file in HERE.glob(f"{store}-index-version-*.sql"))
        assert kept == [f"{store}-index-version-{version}.sql" for version in VERSIONS]
        assert len(kept) == len(steps)


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_index_in_sqlite_keeps_its_data(tmp_path: Path, version: int) -> None:
    with sqlite3.connect(tmp_path / "index.db") as connection:
        connection.executescript((HERE / f"sqlite-index-version-{version}.sql").read_text())
    connection.close()
    async with SqliteStore(tmp_path / "index.db", REGISTRY) as store:
        await has_kept_its_data(store)


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_index_in_postgresql_keeps_its_data(postgres: PostgresServer, version: int) -> None:
    url = postgres.new_database()
    connection = await asyncpg.connect(url)
    await connection.execute((HERE / f"postgres-index-version-{version}.sql").read_text())
    await connection.close()
    async with PostgresStore(url, REGISTRY) as store:
        await has_kept_its_data(store)


async def has_kept_its_data(store: SqlStore) -> None:
    state = await store.state(counted=True)
    assert (state.ready, state.head, state.repositories, state.tags) == (True, 4, 1, 2)
    assert [(entry.tag, entry.digest) for entry in (await store.tags("team/app", "", 10)).tags] == [
        ("v1", digest("c")),
        ("v2", digest("b")),
    ]
    assert [change.actor for change in (await store.history("team/app", "v1", 100, 10)).changes] == ["", "ci"]
    await write(store, "team/app", reading({"v1": "c"}))
    assert (await store.state()).head == 5
