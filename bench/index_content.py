"""Fills an index's store with generated repositories and tags, as if a gateway had read them all just now.

Another process seems to lead, so that a gateway with this index walks no registry.
"""

import itertools
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Final

import asyncpg

from portus_gateway.index.store_address import is_postgres, sqlite_path, store_at

TOLD_REGISTRY: Final = "http://registry.example:5000"
"""The registry of an index that no gateway uses."""
_FOR_EVER: Final = 1e12
_REPOSITORIES_AT_ONCE: Final = 10_000
_ONE_HOUR: Final = 3600.0
_OF_REPOSITORIES: Final = ("id", "name", "known", "added_at", "listed_at", "read_at")
_OF_TAGS: Final = ("repository", "tag", "digest", "checked_at")
_OF_CHANGES: Final = (
    "sequence",
    "type",
    "repository",
    "tag",
    "digest",
    "previous_digest",
    "observed_at",
    "notified_at",
    "actor",
)


def repository_name(number: int) -> str:
    """As `team-0012/app-345`, in lexical order up to ten millions."""
    return f"team-{number // 1000:04}/app-{number % 1000:03}"


async def fill(store: str, repositories: int, tags: int, *, changes: int = 0, registry: str = TOLD_REGISTRY) -> None:
    """Fills the empty store at the address `store` with so many repositories, and so many tags in each.

    All digests are different. `changes` is how many changes are kept. Rows come in the order of the repositories, as
    the first walk brings them.
    """
    # The store makes its tables.
    async with store_at(store, registry, password_file=None, keeps=True)():
        pass
    chosen = random.Random(repositories)  # noqa: S311
    now = time.time()
    if is_postgres(store):
        await _fill_postgres(store, repositories, tags, changes, chosen, now)
    else:
        _fill_sqlite(store, repositories, tags, changes, chosen, now)


async def _fill_postgres(
    store: str, repositories: int, tags: int, changes: int, chosen: random.Random, now: float
) -> None:
    connection = await asyncpg.connect(store)
    try:
        for numbers in _parts(repositories, _REPOSITORIES_AT_ONCE):
            names = list(_repositories(numbers, now))
            await connection.copy_records_to_table("repositories", records=names, columns=_OF_REPOSITORIES)
            rows = list(_tags(numbers, tags, chosen, now))
            await connection.copy_records_to_table("tags", records=rows, columns=_OF_TAGS)
        for numbers in _parts(changes, 10 * _REPOSITORIES_AT_ONCE):
            kept = list(_changes(numbers, repositories, tags, chosen, now))
            await connection.copy_records_to_table("changes", records=kept, columns=_OF_CHANGES)
        await connection.execute(
            "SELECT setval(pg_get_serial_sequence('repositories', 'id'), $1)", max(1, repositories)
        )
        for statement, *parameters in _totals(now, changes):
            await connection.execute(_dollars(statement), *parameters)
        await connection.execute("VACUUM ANALYZE", timeout=None)
    finally:
        await connection.close()


def _fill_sqlite(store: str, repositories: int, tags: int, changes: int, chosen: random.Random, now: float) -> None:
    with closing(sqlite3.connect(sqlite_path(store), isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for numbers in _parts(repositories, _REPOSITORIES_AT_ONCE):
            connection.execute("BEGIN")
            connection.executemany(_insert("repositories", _OF_REPOSITORIES), _repositories(numbers, now))
            connection.executemany(_insert("tags", _OF_TAGS), _tags(numbers, tags, chosen, now))
            connection.execute("COMMIT")
        for numbers in _parts(changes, 10 * _REPOSITORIES_AT_ONCE):
            connection.execute("BEGIN")
            connection.executemany(_insert("changes", _OF_CHANGES), _changes(numbers, repositories, tags, chosen, now))
            connection.execute("COMMIT")
        for statement, *parameters in _totals(now, changes):
            connection.execute(statement, parameters)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _totals(now: float, changes: int) -> Iterator[tuple[str, *tuple[float, ...]]]:
    yield (
        "UPDATE index_state SET head = ?, walk_started = ?, walk_ended = ?, walk_requested = 0, ready = 1",
        changes,
        now,
        now,
    )
    yield "INSERT INTO lease (only_row, holder, fence, held_until) VALUES (1, 'bench', 1, ?)", _FOR_EVER


def _repositories(numbers: range, now: float) -> Iterator[tuple[int, str, int, float, float, float]]:
    return ((number + 1, repository_name(number), 2, now, now, now) for number in numbers)


def _tags(numbers: range, tags: int, chosen: random.Random, now: float) -> Iterator[tuple[int, str, bytes, float]]:
    names = sorted(f"v1.{number}" for number in range(tags))
    for number, tag in itertools.product(numbers, names):
        # Checked at different times within an hour, as by a gateway that runs on.
        yield number + 1, tag, _digest(chosen), now - _ONE_HOUR * chosen.random()


def _changes(
    numbers: range, repositories: int, tags: int, chosen: random.Random, now: float
) -> Iterator[tuple[int, int, str, str, bytes, bytes, float, float, str]]:
    for number in numbers:
        repository = repository_name(chosen.randrange(repositories))
        tag = f"v1.{chosen.randrange(tags)}"
        moved = 2
        yield number + 1, moved, repository, tag, _digest(chosen), _digest(chosen), now, now, "ci"


def _digest(chosen: random.Random) -> bytes:
    """A SHA-256 digest as the store keeps it."""
    return b"\x01" + chosen.randbytes(32)


def _parts(count: int, size: int) -> Iterator[range]:
    return (range(start, min(count, start + size)) for start in range(0, count, size))


def _insert(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608


def _dollars(statement: str) -> str:
    """PostgreSQL numbers its parameters."""
    numbers = itertools.count(1)
    return "".join(f"${next(numbers)}" if character == "?" else character for character in statement)
