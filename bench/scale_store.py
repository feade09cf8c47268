"""What an index of millions of tags takes: disk, and the time of each thing that the gateway does with its store.

`python -m bench.scale_store --store postgres --tags 10000000` fills a store of its own with generated rows, which
takes minutes, and prints a table. docs/scale.md has the figures.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Final

import asyncpg
import uvloop

from bench import index_content
from bench.index_content import repository_name
from bench.postgres_server import postgres_server
from portus_gateway.distribution.digest import Digest
from portus_gateway.index.errors import StoreError
from portus_gateway.index.sql_store import SqlStore
from portus_gateway.index.store import Claim, Notice, Reading
from portus_gateway.index.store_address import is_postgres, sqlite_path, store_at

_REPEATED: Final = 20
_MILLION: Final = 1_000_000
_POSTGRES: Final = {"shared_buffers": "1GB", "max_wal_size": "4GB"}
_A_CLAIM: Final = 60.0

Step = Callable[[], Awaitable[object]]


async def _measured(store: str, tags: int, each: int, changes: int) -> None:
    repositories = tags // each
    began = time.perf_counter()
    await index_content.fill(store, repositories, each, changes=changes)
    print(f"{repositories} repositories, {tags} tags, {changes} changes, filled in {time.perf_counter() - began:.0f} s")
    print(f"\n| what | MB |\n|---|---|\n{await _sizes(store)}")
    print("\n| step | median ms | longest ms |\n|---|---|---|")
    async with store_at(store, index_content.TOLD_REGISTRY, password_file=None, keeps=True)() as opened:
        await _queries(opened, repositories, changes)
        await _notifications(opened, repositories)
        await _walk(opened, repositories)


async def _queries(store: SqlStore, repositories: int, changes: int) -> None:
    chosen = random.Random(1)  # noqa: S311

    def name() -> str:
        return repository_name(chosen.randrange(repositories))

    some = (await store.tags(name(), "", 1)).tags[0].digest
    if some is None:
        raise AssertionError("a tag has no digest")
    steps: dict[str, Step] = {
        "state": store.state,
        "page of 1,000 repositories": lambda: store.catalog(name(), "", 1000, tags=False),
        "page of 1,000 repositories with their tags": lambda: store.catalog(name(), "", 1000, tags=True),
        "the same page again": lambda: store.catalog(repository_name(0), "", 1000, tags=True),
        "page of a prefix": lambda: store.catalog("", name()[:10], 1000, tags=False),
        "tags of a repository": lambda: store.tags(name(), "", 1000),
        "tags on a digest": lambda: store.find_by_digest(some, "", ("", ""), 2000),
        "20,000 tags to search": lambda: store.tags_containing("none", "", (name(), "v1.0"), 2000, 20_000),
        "500 tags for a watch's current state": lambda: store.repository_tags((name(), "v1.0"), "", 500),
        "500 changes for a watch": lambda: store.changes(max(0, changes - 500), 500),
        "history of a tag": lambda: store.history(name(), "v1.0", 2**62, 100),
    }
    for what, step in steps.items():
        await _timed(what, step, _REPEATED)
    await _timed("numbers of all there is", lambda: store.state(counted=True), 3)


async def _notifications(store: SqlStore, repositories: int) -> None:
    chosen = random.Random(2)  # noqa: S311
    await _timed("claim, nothing to do", lambda: store.claim(8, _A_CLAIM), _REPEATED)

    async def notified_one() -> None:
        await store.notify([Notice(repository_name(chosen.randrange(repositories)))])

    async def notified_new() -> None:
        await store.notify([Notice(f"new/app-{chosen.random()}")])

    await _timed("notification", notified_one, _REPEATED)
    await _timed("notification of a new repository", notified_new, _REPEATED)
    claims = await _claims(store, 2 * _REPEATED)
    unchanged = iter(claims[:_REPEATED])
    changed = iter(claims[_REPEATED:])

    async def applied(claim: Claim, moved: int) -> None:
        digests = dict.fromkeys(list(claim.tags)[:moved], Digest.of(str(chosen.random()).encode()))
        if await store.apply(claim, Reading(frozenset(claim.tags), digests)) is None:
            raise AssertionError("the claim was lost")

    await _timed("write a read without a change", lambda: applied(next(unchanged), 0), _REPEATED)
    await _timed("write a read with one change", lambda: applied(next(changed), 1), _REPEATED)
    await _timed("forget 10,000 changes", lambda: store.forget(time.time() + 1, 10_000), 3)


async def _walk(store: SqlStore, repositories: int) -> None:
    started = (await store.state()).now
    pages = iter(range(0, repositories, 1000))

    async def listed() -> None:
        first = next(pages)
        await store.walk_page(started, [repository_name(number) for number in range(first, first + 1000)])

    await _timed("1,000 names of a walk", listed, repositories // 1000)
    await _timed("end of a walk: all repositories are to be read", lambda: store.end_walk(started), 1)
    await _timed("claim, everything is to be read", lambda: store.claim(8, _A_CLAIM), _REPEATED)
    await _timed("whether the first walk was read", store.check_ready, 3)
    await _timed("notification during a walk", lambda: store.notify([Notice(repository_name(1))]), _REPEATED)


async def _claims(store: SqlStore, count: int) -> list[Claim]:
    """Claims of repositories that a notification named."""
    await store.notify([Notice(repository_name(number)) for number in range(2 * count)])
    claims: list[Claim] = []
    while len(claims) < count:
        claims += [claim for claim in await store.claim(count, _A_CLAIM) if claim.tags]
    return claims


async def _timed(what: str, step: Step, times: int) -> None:
    taken: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        try:
            await step()
        except StoreError as error:
            print(f"| {what} | **failed after {time.perf_counter() - began:.1f} s: {error}** | |", flush=True)
            return
        taken.append((time.perf_counter() - began) * 1000)
    print(f"| {what} | {median(taken):.1f} | {max(taken):.1f} |", flush=True)


async def _sizes(store: str) -> str:
    if not is_postgres(store):
        return f"| the file | {sqlite_path(store).stat().st_size / _MILLION:.0f} |"
    connection = await asyncpg.connect(store)
    try:
        rows = await connection.fetch(
            "SELECT relname, pg_total_relation_size(oid) AS size FROM pg_class WHERE relkind IN ('r', 'i')"
            " AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 1000000 ORDER BY size DESC"
        )
    finally:
        await connection.close()
    return "\n".join(f"| {row['relname']} | {row['size'] / _MILLION:.0f} |" for row in rows)


@asynccontextmanager
async def _store(kind: str) -> AsyncGenerator[str, None]:
    if kind == "postgres":
        async with postgres_server(_POSTGRES) as server:
            yield await server.new_database()
        return
    with tempfile.TemporaryDirectory(prefix="portus-scale-", dir=Path("/var/tmp")) as folder:  # noqa: S108
        yield f"sqlite://{folder}/index.db"


async def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scale_store", description=__doc__)
    parser.add_argument("--store", choices=["sqlite", "postgres"], required=True)
    parser.add_argument("--tags", type=int, default=_MILLION, help="how many tags (1,000,000)")
    parser.add_argument("--each", type=int, default=10, help="how many of them in each repository (10)")
    parser.add_argument("--changes", type=int, default=100_000, help="how many changes are kept (100,000)")
    arguments = parser.parse_args()
    async with _store(arguments.store) as store:
        await _measured(store, arguments.tags, arguments.each, arguments.changes)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main())
