"""The stores that the conformance suite runs with."""

from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from portus_gateway.index.postgres import PostgresStore
from portus_gateway.index.sql_store import SqlStore
from portus_gateway.index.sqlite import SqliteStore
from tests.index.pgbouncer import PgBouncer, pgbouncer
from tests.index.postgres_server import PostgresServer, postgres_server
from tests.index.stores import LIMITS, REGISTRY

OpenStore: TypeAlias = Callable[..., SqlStore]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests of a process."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def pooler(postgres: PostgresServer) -> Iterator[PgBouncer]:
    """PgBouncer in transaction mode before that server."""
    with pgbouncer(postgres) as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres", "pooler"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    """Opens the same empty database each time."""
    if request.param != "sqlite":
        server: PostgresServer | PgBouncer = request.getfixturevalue(request.param)
        url = server.new_database()

        def opened_postgres(registry: str = REGISTRY, *, keeps: bool = True) -> SqlStore:  # noqa: ARG001
            return PostgresStore(url, registry, limits=LIMITS)

        return opened_postgres

    def opened(registry: str = REGISTRY, *, keeps: bool = True) -> SqlStore:
        return SqliteStore(tmp_path / "index.db", registry, keeps=keeps, limits=LIMITS)

    return opened


@pytest.fixture
async def store(open_store: OpenStore) -> AsyncGenerator[SqlStore, None]:
    async with open_store() as opened:
        yield opened
