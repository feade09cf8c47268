"""The index in a SQLite file on this machine."""

import fcntl
import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeVar

from portus_gateway.aio.one_thread import OneThread
from portus_gateway.aio.single_flight import WorkEnded
from portus_gateway.distribution.adaptive_limit import AdaptiveLimit
from portus_gateway.index.errors import StoreError, StoreUnusable
from portus_gateway.index.migrations import check_version, migrations
from portus_gateway.index.sql_store import SqlStore
from portus_gateway.index.store import StoreLimits
from portus_gateway.index.transactions import SQLITE, Row, Rows, Statement, Transaction

Result = TypeVar("Result")

# How long a transaction waits for one of another process, in seconds.
_BUSY: Final = 5.0
# How many reads the thread has: one that runs, and the next one, so that it never waits for the event loop.
_READS_AT_ONCE: Final = 2
# SQLite's write-ahead log needs memory that all processes share, and locks that work. Network file systems have neither
# (sqlite.org/wal.html, sqlite.org/howtocorrupt.html).
_NETWORK_FILE_SYSTEMS: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "fuse.glusterfs", "fuse.sshfs", "lustre", "9p", "afs"}
)


class SqliteStore(SqlStore):
    """The index of the registry at an address, in the file at `path`.

    All processes of one gateway may open it. `keeps` is for the one of them that keeps it up to date: it holds a lock,
    so that two gateways never share a file. Raises `StoreError`, and `StoreUnusable` where a retry does not help.
    """

    def __init__(self, path: Path, registry: str, *, keeps: bool = True, limits: StoreLimits | None = None) -> None:
        super().__init__(registry, SQLITE, limits)
        self._path = path
        self._keeps = keeps
        self._lock: int | None = None
        self._writer = _Connection(path, "index-writer")
        self._reader = _Connection(path, "index-reader")
        self._slow_reader = _Connection(path, "index-slow-reader")
        # Callers take turns: one with many large reads does not keep another one waiting for all of them.
        self._turns = AdaptiveLimit(_READS_AT_ONCE, wait="wait for index")

    async def _open(self) -> None:
        file_system = _file_system(self._path.parent)
        if file_system in _NETWORK_FILE_SYSTEMS:
            raise StoreUnusable(
                f"{self._path} is on a network file system ({file_system}), where SQLite loses data: use a local disk,"
                " or PostgreSQL"
            )
        if self._keeps:
            self._lock = _locked(self._path)
        await self._writer.use(_migrate)
        if self._keeps:
            await self._writer.use(_end_old_work)
        await self._reader.use(lambda _: None)

    async def close(self) -> None:
        await self._writer.close()
        await self._reader.close()
        await self._slow_reader.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _write(self, make: Callable[[], Transaction[Result]], *, durable: bool = False) -> Result:
        return await self._writer.use(lambda connection: _run(connection, make(), "IMMEDIATE", durable))

    async def _read(self, make: Callable[[], Transaction[Result]], *, slow: bool = False) -> Result:
        if slow:
            return await self._slow_reader.use(lambda connection: _run(connection, make(), "DEFERRED", False))
        async with self._turns:
            return await self._reader.use(lambda connection: _run(connection, make(), "DEFERRED", False))


class _Connection:
    """A connection to the file, and the thread that it is used on."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._thread = OneThread(name)
        self._connection: sqlite3.Connection | None = None

    async def use(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """What `work` answers with the connection. Raises `StoreError`."""
        try:
            return await self._thread.run(self._used, work)
        except WorkEnded as error:
            raise StoreError(f"{self._path} is closed") from error

    def _used(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        try:
            return work(self._opened())
        except sqlite3.Error as error:
            raise _store_error(self._path, error) from error

    async def close(self) -> None:
        with suppress(WorkEnded):
            await self._thread.run(lambda _: self._closed(), None)
        self._thread.close()

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(
                self._path, timeout=_BUSY, isolation_level=None, check_same_thread=False, cached_statements=512
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            self._connection = connection
        return self._connection

    def _closed(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _migrate(connection: sqlite3.Connection) -> None:
    steps = migrations("sqlite")
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        check_version(version, len(steps))
        for statements in steps[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has ended the transaction itself if the disk is full.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _end_old_work(connection: sqlite3.Connection) -> None:
    """Ends the lead and the claims of a process that was killed. Whoever has the file's lock knows that it is gone."""
    connection.execute("UPDATE lease SET held_until = 0")
    connection.execute("UPDATE repositories SET claimed_until = 0 WHERE claimed_until > 0")


def _run(connection: sqlite3.Connection, transaction: Transaction[Result], kind: str, durable: bool) -> Result:
    if durable:
        connection.execute("PRAGMA synchronous = FULL")
    try:
        connection.execute(f"BEGIN {kind}")
        try:
            result = _executed(connection, transaction)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result
    finally:
        if durable:
            connection.execute("PRAGMA synchronous = NORMAL")


def _executed(connection: sqlite3.Connection, transaction: Transaction[Result]) -> Result:
    rows: Rows = ()
    try:
        statement = next(transaction)
        while True:
            rows = _rows(connection, statement)
            statement = transaction.send(rows)
    except StopIteration as ended:
        result: Result = ended.value
        return result


def _rows(connection: sqlite3.Connection, statement: Statement) -> Rows:
    sql = _numbered(statement.sql)
    if statement.many is not None:
        connection.executemany(sql, statement.many)
        return ()
    rows: list[Row] = connection.execute(sql, tuple(statement.parameters)).fetchall()
    return rows


@lru_cache(256)
def _numbered(sql: str) -> str:
    """SQLite writes numbered parameters as `?1`."""
    return re.sub(r"\$(\d+)", r"?\1", sql)


def _locked(path: Path) -> int:
    lock = path.with_name(f"{path.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(_cannot_open(path, error.strerror or str(error))) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StoreError(
            f"another gateway uses {path}: give each gateway a file of its own, or let them share PostgreSQL"
        ) from None
    return descriptor


def _store_error(path: Path, error: sqlite3.Error) -> StoreError:
    text = str(error)
    match error.sqlite_errorcode & 0xFF if hasattr(error, "sqlite_errorcode") else 0:
        case sqlite3.SQLITE_FULL:
            return StoreError(f"the disk of {path} is full: make room")
        case sqlite3.SQLITE_READONLY:
            return StoreError(f"{path} cannot be written: give the gateway's user the right to write it and its folder")
        case sqlite3.SQLITE_IOERR:
            return StoreError(f"{path} cannot be written or read ({text}): check its disk and the user's quota")
        case sqlite3.SQLITE_CANTOPEN:
            return StoreError(_cannot_open(path, text))
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return StoreUnusable(
                f"{path} is not an SQLite file, or is damaged: move it away, and the index is built anew"
            )
        case sqlite3.SQLITE_BUSY:
            return StoreError(f"{path} is locked by another process for more than {_BUSY:g} s")
        case _:
            return StoreError(f"{path}: {text}")


def _cannot_open(path: Path, problem: str) -> str:
    return (
        f"{path} cannot be opened ({problem}): its folder must exist, and the gateway's user must be able to write it"
    )


def _file_system(folder: Path) -> str:
    """The type of the file system that a folder is on, as Linux names it; empty where that is not known."""
    try:
        mounts = Path("/proc/self/mounts").read_text(errors="replace").splitlines()
        place = str(folder.resolve())
    except OSError:
        return ""
    best, kind = "", ""
    for line in mounts:
        _, mounted, found, *_ = line.split(" ")
        point = mounted.replace("\\040", " ")
        if (place == point or place.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, found
    return kind
