"""What many replicas of the gateway cost the PostgreSQL server that they share.

`python -m bench.scale_replicas --replicas 100` runs the index of so many gateways in a few processes, each with its own
connections to one server, over a registry that answers at once. docs/scale.md has the figures.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import IO, Final

import asyncpg
import uvloop
from prometheus_client import CollectorRegistry

from bench import index_content
from bench.child_process import begun, end
from bench.index_content import repository_name
from bench.postgres_server import PostgresServer, postgres_server
from bench.statistics import percentile
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.distribution.page import Cursor, Page
from portus_gateway.index.live_index import IndexPlan, LiveIndex
from portus_gateway.index.store import Hint, Notice
from portus_gateway.index.store_address import store_at
from portus_gateway.telemetry.index_metrics import IndexMetrics

_TAGS: Final = 10
_PROCESSES: Final = 2
_PLAN: Final = IndexPlan(share=8, walk_interval=1e9, digest_interval=1e9, history=1e9)
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_SETTLED: Final = 10.0
_DELAY: Final = "delay: "


class _Registry:
    """Answers at once. Each tag moves with each look, so that each read finds a change."""

    async def list_repositories(
        self,
        size: int | None,  # noqa: ARG002
        after: Cursor | None = None,  # noqa: ARG002
    ) -> Page[Repository | UnusableName]:
        return Page((), None)

    async def list_tags(
        self,
        repository: Repository,  # noqa: ARG002
        size: int | None,  # noqa: ARG002
        after: Cursor | None = None,  # noqa: ARG002
    ) -> Page[Tag | UnusableName]:
        return Page(tuple(Tag(f"v1.{number}") for number in range(_TAGS)), None)

    async def tag_digest(self, repository: Repository, tag: Tag, known: Digest | None) -> Digest:  # noqa: ARG002
        return Digest.of(f"{repository}:{tag}".encode())

    async def is_listed(self, repository: Repository) -> bool:  # noqa: ARG002
        return True


@dataclass(frozen=True, slots=True)
class _Load:
    """What the server did: per second, and how many of its processors it kept busy."""

    cores: float
    transactions: float
    connections: int


async def _replicas(store: str, count: int, watchers: int) -> None:
    """Runs replicas until the process is ended."""
    async with asyncio.TaskGroup() as watches, AsyncExitStack() as stack:
        for number in range(count):
            index = LiveIndex(
                store_at(store, index_content.TOLD_REGISTRY, password_file=None, keeps=True),
                _Registry(),
                IndexMetrics(CollectorRegistry()),
                _PLAN,
                keeps=True,
            )
            await stack.enter_async_context(index)
            if number < watchers:
                watches.create_task(_watch(index))
        print("ready", flush=True)
        await asyncio.Event().wait()


async def _watch(index: LiveIndex) -> None:
    """Waits for changes as a watcher does. Prints how long each one took from its notification."""
    after = (await index.store.state()).head
    while True:
        await index.feed.wait(after, 15.0)
        rows = await index.store.changes(after)
        for change in rows.changes:
            if change.notified_at is not None:
                print(f"{_DELAY}{time.time() - change.notified_at:.4f}", flush=True)
        after = rows.changes[-1].sequence if rows.changes else after


class _Observer:
    """Looks at the PostgreSQL server."""

    def __init__(self, server: PostgresServer, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._server = server
        self._connection = connection

    async def during(self, seconds: float) -> _Load:
        cpu, transactions = self._cpu(), await self._transactions()
        began = time.perf_counter()
        await asyncio.sleep(seconds)
        elapsed = time.perf_counter() - began
        connections = await self._connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'portus-gateway'"
        )
        return _Load(
            (self._cpu() - cpu) / elapsed, (await self._transactions() - transactions) / elapsed, int(connections)
        )

    async def _transactions(self) -> int:
        # A session's own view of the statistics is kept within a transaction only.
        return int(
            await self._connection.fetchval(
                "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
            )
        )

    def _cpu(self) -> float:
        """Of the server's processes, also of those that have ended."""
        total = 0
        for process in Path("/proc").iterdir():
            if not process.name.isdigit():
                continue
            try:
                fields = (process / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if process.name == str(self._server.pid):
                total += sum(map(int, fields[11:15]))
            elif fields[1] == str(self._server.pid):
                total += sum(map(int, fields[11:13]))
        return total / _TICKS


async def _measured(replicas: int, repositories: int, rate: float, seconds: float) -> None:
    settings = {"max_connections": str(8 * replicas + 20), "shared_buffers": "512MB"}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(postgres_server(settings))
        store = await server.new_database()
        await index_content.fill(store, repositories, _TAGS)
        connection = await asyncpg.connect(store)
        stack.push_async_callback(connection.close)
        observer = _Observer(server, connection)
        print("| replicas | what they do | PostgreSQL: cores | transactions/s | connections | and |")
        print("|---|---|---|---|---|---|")
        for what, watchers in (("nothing", 0), ("one watcher each", replicas)):
            async with AsyncExitStack() as running:
                outputs = await _started(running, store, replicas, watchers)
                # Until the connections of the start are idle.
                await asyncio.sleep(_SETTLED)
                _print(replicas, what, await observer.during(seconds), "")
                if not watchers:
                    marked = await _mark_all(connection, min(repositories, 20_000))
                    began = time.perf_counter()
                    load = await observer.during(seconds)
                    left = int(await connection.fetchval("SELECT count(*) FROM repositories WHERE dirty > 0"))
                    read = (marked - left) / (time.perf_counter() - began)
                    _print(replicas, "read what a walk has marked", load, f"{read:.0f} repositories/s")
                    await connection.execute("UPDATE repositories SET dirty = 0, dirty_since = NULL WHERE dirty > 0")
                    continue
                notifying = asyncio.create_task(_notify(store, repositories, rate))
                load = await observer.during(seconds)
                notifying.cancel()
                await asyncio.gather(notifying, return_exceptions=True)
                lines = [line for output in outputs for line in output.read_text().splitlines()]
            delays = [float(line.removeprefix(_DELAY)) for line in lines if line.startswith(_DELAY)]
            told = f"{rate:.0f} notifications/s: p50 {median(delays):.2f} s, p99 {percentile(delays, 0.99):.2f} s"
            _print(replicas, what, load, told)


async def _mark_all(connection: "asyncpg.Connection[asyncpg.Record]", count: int) -> int:
    await connection.execute(
        "UPDATE repositories SET dirty = 1, dirty_since = extract(epoch FROM clock_timestamp()), priority = 1"
        " WHERE id <= $1",
        count,
    )
    return count


async def _notify(store: str, repositories: int, rate: float) -> None:
    """Each notification names the tag of a repository that moved, to what the registry shows."""
    chosen = random.Random(3)  # noqa: S311
    async with store_at(store, index_content.TOLD_REGISTRY, password_file=None, keeps=False)() as opened:
        for number in range(repositories):
            name = repository_name(number)
            tag = f"v1.{chosen.randrange(_TAGS)}"
            digest = Digest.of(f"{name}:{tag}".encode())
            await opened.notify([Notice(name, Hint(tag, digest, time.time(), "ci"))])
            await asyncio.sleep(1 / rate)


async def _started(stack: AsyncExitStack, store: str, replicas: int, watchers: int) -> list[Path]:
    """Starts the processes with the replicas. Answers with the files that they write to."""
    outputs: list[Path] = []
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portus-replicas-")))
    for number in range(_PROCESSES):
        own, watching = (len(range(number, count, _PROCESSES)) for count in (replicas, watchers))
        given = json.dumps([store, own, watching])
        output = folder / f"{number}"
        command = [sys.executable, "-m", "bench.scale_replicas", "--internal", given]
        process = await begun(command, stack.enter_context(_written(output)))
        stack.push_async_callback(end, process, 10.0)
        outputs.append(output)
    async with asyncio.timeout(120):
        for output in outputs:
            while "ready" not in output.read_text():  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    return outputs


def _written(file: Path) -> IO[bytes]:
    return file.open("wb")


def _print(replicas: int, what: str, load: _Load, more: str) -> None:
    print(
        f"| {replicas} | {what} | {load.cores:.2f} | {load.transactions:.0f} | {load.connections} | {more} |",
        flush=True,
    )


async def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scale_replicas", description=__doc__)
    parser.add_argument("--replicas", type=int, default=100, help="how many gateways (100)")
    parser.add_argument("--repositories", type=int, default=100_000, help="with ten tags each (100,000)")
    parser.add_argument("--rate", type=float, default=20.0, help="notifications per second (20)")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each load is observed (20)")
    parser.add_argument("--internal", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.internal:
        await _replicas(*json.loads(arguments.internal))
    else:
        await _measured(arguments.replicas, arguments.repositories, arguments.rate, arguments.seconds)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main())
