"""How much disk the index takes: for a million tags, and for a million changes that are kept."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import asyncpg

from bench import index_content
from bench.figure import Figure
from bench.postgres_server import postgres_server
from portus_gateway.index.store_address import is_postgres, sqlite_path

_REPOSITORIES: Final = 100_000
_TAGS: Final = 10
_CHANGES: Final = 500_000
_MILLION: Final = 1_000_000
_MEGABYTE: Final = 1_000_000
# What docs/index.md promises: megabytes for a million tags, and for a million changes.
_PROMISED: Final = {"SQLite": (130, 170), "PostgreSQL": (220, 250)}


async def measure(folder: Path, _: int, __: float) -> list[Figure]:
    """In a store that has nothing else. What it has for itself is taken off."""
    figures: list[Figure] = []
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(postgres_server())
        stores = {
            "SQLite": [f"sqlite://{folder}/{name}.db" for name in ("empty", "tags", "changes")],
            "PostgreSQL": [await server.new_database() for _ in range(3)],
        }
        for name, (empty, tags, changes) in stores.items():
            await index_content.fill(empty, 0, 0)
            await index_content.fill(tags, _REPOSITORIES, _TAGS)
            await index_content.fill(changes, 1, 1, changes=_CHANGES)
            own = await _size(empty)
            for store, kind, count, promised in (
                (tags, "tags, ten in each repository", _REPOSITORIES * _TAGS, _PROMISED[name][0]),
                (changes, "changes", _CHANGES, _PROMISED[name][1]),
            ):
                size = await _size(store)
                figures.append(
                    Figure(
                        name=f"disk of the index in {name}, for a million {kind}",
                        runs=[(size - own) / _MEGABYTE * _MILLION / count],
                        unit="MB",
                        bar=promised,
                        against=f"docs/index.md, without the {own / _MEGABYTE:.1f} MB of an empty store",
                        measured=f"{size / _MEGABYTE:.0f} MB with {count} of them",
                    )
                )
    return figures


async def _size(store: str) -> int:
    if not is_postgres(store):
        return sqlite_path(store).stat().st_size
    connection = await asyncpg.connect(store)
    try:
        return int(await connection.fetchval("SELECT pg_database_size(current_database())"))
    finally:
        await connection.close()
