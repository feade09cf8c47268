"""The index in PostgreSQL, which the replicas of a gateway share.

Works through PgBouncer in transaction mode: no session locks, no LISTEN, no named prepared statements.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import asyncpg

from portus_gateway.index.errors import StoreError, StoreUnusable
from portus_gateway.index.migrations import check_version, migrations
from portus_gateway.index.sql_store import SqlStore
from portus_gateway.index.store import StoreLimits
from portus_gateway.index.transactions import POSTGRES, Row, Rows, Statement, Transaction

Result = TypeVar("Result")

# In seconds.
_CONNECT: Final = 5.0
_STATEMENT: Final = 30.0
_CONNECTIONS: Final = 8
# How often a transaction is tried that PostgreSQL ends because of a deadlock.
_ATTEMPTS: Final = 5
_LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    OSError,
)
# PostgreSQL has ended the connection, or takes none now.
_ENDED: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
)


class PostgresStore(SqlStore):
    """The index of the registry at an address, in the database at `url`, which has no password in it.

    `password_file` has the password. Raises `StoreError`, and `StoreUnusable` where a retry does not help.
    """

    def __init__(
        self, url: str, registry: str, *, password_file: Path | None = None, limits: StoreLimits | None = None
    ) -> None:
        super().__init__(registry, POSTGRES, limits)
        self._url = url
        self._password_file = password_file
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def _open(self) -> None:
        password = None
        if self._password_file is not None:
            try:
                password = self._password_file.read_text().rstrip("\r\n")
            except (OSError, UnicodeError) as error:
                raise StoreError(f"the password file of the index cannot be read: {error}") from None
        try:
            self._pool = await asyncpg.create_pool(
                self._url,
                password=password,
                min_size=0,
                max_size=_CONNECTIONS,
                timeout=_CONNECT,
                command_timeout=_STATEMENT,
                # PgBouncer gives each transaction another session, which does not know prepared statements.
                statement_cache_size=0,
                # A transaction leaves nothing in its session. Behind PgBouncer, a reset would concern another session.
                reset=_nothing_to_reset,
                server_settings={"application_name": "portus-gateway"},
            )
            async with self._pool.acquire() as connection, connection.transaction():
                await _migrate(connection)
        except (asyncpg.PostgresError, *_LOST, TimeoutError, ValueError) as error:
            raise _store_error(error) from None

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate()

    async def _write(self, make: Callable[[], Transaction[Result]], *, durable: bool = False) -> Result:
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._run(make(), durable=durable)
            except asyncpg.DeadlockDetectedError:
                # PostgreSQL has ended this transaction, so that the other one could go on.
                continue
        try:
            return await self._run(make(), durable=durable)
        except asyncpg.DeadlockDetectedError as error:
            raise _store_error(error) from error

    async def _read(self, make: Callable[[], Transaction[Result]], *, slow: bool = False) -> Result:  # noqa: ARG002
        return await self._run(make(), durable=True)

    async def _run(self, transaction: Transaction[Result], *, durable: bool) -> Result:
        if self._pool is None:
            raise StoreError("the index's store is closed")
        try:
            async with self._pool.acquire(timeout=_STATEMENT) as connection, connection.transaction():
                if not durable:
                    await connection.execute("SET LOCAL synchronous_commit = off")
                return await _executed(connection, transaction)
        except asyncpg.DeadlockDetectedError:
            raise
        except (asyncpg.PostgresError, *_LOST, TimeoutError) as error:
            raise _store_error(error) from error


async def _nothing_to_reset(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Saves the query of asyncpg's own reset after each transaction. asyncpg still ends an open transaction."""


async def _migrate(connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> None:
    """Brings the schema up to date. Replicas that start together wait for one another."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtext('portus-gateway index'))")
    await connection.execute("CREATE TABLE IF NOT EXISTS index_schema (version BIGINT NOT NULL)")
    steps = migrations("postgres")
    version = await connection.fetchval("SELECT coalesce(max(version), 0) FROM index_schema")
    check_version(int(version), len(steps))
    for statements in steps[int(version) :]:
        for statement in statements:
            await connection.execute(statement)
    await connection.execute("DELETE FROM index_schema")
    await connection.execute("INSERT INTO index_schema (version) VALUES ($1)", len(steps))


async def _executed(
    connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]", transaction: Transaction[Result]
) -> Result:
    try:
        statement = next(transaction)
        while True:
            statement = transaction.send(await _rows(connection, statement))
    except StopIteration as ended:
        result: Result = ended.value
        return result


async def _rows(connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]", statement: Statement) -> Rows:
    if statement.many is not None:
        await connection.executemany(statement.sql, statement.many)
        return ()
    rows: Sequence[Row] = [tuple(record) for record in await connection.fetch(statement.sql, *statement.parameters)]
    return rows


def _store_error(error: BaseException) -> StoreError:
    match error:
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            return StoreUnusable(
                "PostgreSQL rejects the user or its password: check PORTUS_INDEX and PORTUS_INDEX_PASSWORD_FILE"
            )
        case asyncpg.InvalidCatalogNameError():
            return StoreUnusable("PostgreSQL has no such database: create it, or check PORTUS_INDEX")
        case asyncpg.InsufficientPrivilegeError() | asyncpg.ReadOnlySQLTransactionError():
            return StoreUnusable(
                "PostgreSQL does not let the user write: give it the right to create tables in the database's schema"
            )
        case asyncpg.DiskFullError():
            return StoreError("the disk of PostgreSQL is full: make room")
        case asyncpg.PostgresError() if not isinstance(error, _ENDED):
            return StoreError(f"PostgreSQL: {error} ({error.sqlstate})")
        case TimeoutError():
            return StoreError("PostgreSQL did not answer in time: look at its load, and at the way to it")
        case _:
            return StoreError(
                f"PostgreSQL cannot be reached: {error or type(error).__name__}. Check that it runs, and its address in"
                " PORTUS_INDEX"
            )
