"""An index of 100,000 repositories with 10 tags each: streamed to a caller, and at rest."""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

import grpc

from bench import calls, index_content, servers
from bench.figure import Figure
from bench.process_figures import cpu_seconds, forget_peak, peak_resident_bytes, resident_bytes
from bench.statistics import interleaved, ratios
from portus.registry.v1 import registry_service_pb2 as proto

_REPOSITORIES: Final = 100_000
_TAGS: Final = 10
_MEBIBYTE: Final = 1024 * 1024
# A gateway at rest is observed for so many seconds in each round: as often as it counts what the index has.
_OBSERVED: Final = 15.0
_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class _Stream:
    first: float
    """When the first answer came, in seconds; `whole`: when the last one came; `cpu`: what the gateway needed."""
    whole: float
    cpu: float


async def measure(folder: Path, rounds: int, _: float) -> list[Figure]:
    """The registry has stopped, so no walk succeeds and the index stays as it is: the gateway only answers."""
    async with servers.registry(folder / "registry") as registry:
        pass
    async with AsyncExitStack() as stack:
        index = folder / "index.db"
        await index_content.fill(f"sqlite://{index}", _REPOSITORIES, _TAGS, registry=f"http://{registry.address}")
        gateway = await stack.enter_async_context(
            servers.gateway(
                folder / "gateway",
                registry.address,
                PORTUS_INDEX=f"sqlite://{index}",
                PORTUS_NOTIFICATIONS_LISTEN="127.0.0.1:0",
                PORTUS_NOTIFICATIONS_TOKEN_FILE=str(servers.token_file(folder / "notifications", "notification")),
            )
        )
        bare = await stack.enter_async_context(servers.gateway(folder / "bare", registry.address))
        await _streamed(gateway, 1)
        idle = await _idle(gateway, bare)
        streamed = await _compared(gateway, index, min(rounds, _ROUNDS))
    return [*streamed, *idle]


async def _compared(gateway: servers.Server, index: Path, rounds: int) -> list[Figure]:
    before = resident_bytes(gateway.pid)
    forget_peak(gateway.pid)
    streams: list[_Stream] = []

    async def stream() -> float:
        streams.append(await _streamed(gateway, _REPOSITORIES))
        return streams[-1].whole

    measures: dict[str, Callable[[], Awaitable[float]]] = {
        "gateway": stream,
        "sqlite3": partial(asyncio.to_thread, _read_by_sqlite3, index),
    }
    times = await interleaved(measures, rounds)
    grown = (peak_resident_bytes(gateway.pid) - before) / _MEBIBYTE
    rate = _REPOSITORIES * _TAGS / median(times["gateway"])
    cpu = median(stream.cpu for stream in streams)
    return [
        Figure(
            name="a million tags streamed from the index",
            runs=ratios(times["gateway"], times["sqlite3"]),
            unit="times",
            against="a Python script that reads the same rows from the file, as text",
            measured=f"{median(times['gateway']):.1f} s, {rate:.0f} tags/s, {cpu:.1f} s CPU of the gateway;"
            f" script {median(times['sqlite3']):.1f} s",
            raw={**times, "streams": streams},
        ),
        Figure(
            name="a million tags streamed from the index, first answer",
            runs=[stream.first for stream in streams],
            unit="s",
            bar=0.1,
            against="a tenth of a second",
            measured=f"{median(stream.first for stream in streams) * 1000:.0f} ms",
        ),
        Figure(
            name="a million tags streamed from the index, peak memory over idle",
            runs=[grown],
            unit="MiB",
            bar=60,
            against="the idle gateway with this index",
            measured=f"idle {before / _MEBIBYTE:.0f} MiB",
            raw={"idle": before, "grown": grown},
        ),
    ]


async def _idle(gateway: servers.Server, bare: servers.Server) -> list[Figure]:
    """Both gateways are observed at the same time."""
    shares: dict[str, list[float]] = {"gateway": [], "bare": []}
    for _ in range(_ROUNDS):
        before = cpu_seconds(gateway.pid), cpu_seconds(bare.pid)
        await asyncio.sleep(_OBSERVED)
        shares["gateway"].append((cpu_seconds(gateway.pid) - before[0]) / _OBSERVED * 100)
        shares["bare"].append((cpu_seconds(bare.pid) - before[1]) / _OBSERVED * 100)
    memory = resident_bytes(gateway.pid) / _MEBIBYTE, resident_bytes(bare.pid) / _MEBIBYTE
    return [
        Figure(
            name="an idle index of a million tags, CPU",
            runs=[with_index - without for with_index, without in zip(shares["gateway"], shares["bare"], strict=True)],
            unit="% of a processor more",
            against="the same gateway without an index, at the same time",
            measured=f"{median(shares['gateway']):.2f} %; without {median(shares['bare']):.2f} %",
            raw=shares,
        ),
        Figure(
            name="an idle index of a million tags, memory",
            runs=[memory[0] - memory[1]],
            unit="MiB more",
            against="the same gateway without an index",
            measured=f"{memory[0]:.0f} MiB; without {memory[1]:.0f} MiB",
        ),
    ]


async def _streamed(gateway: servers.Server, repositories: int) -> _Stream:
    """Streams at least so many repositories. The whole stream has to have all tags."""
    request = proto.StreamCatalogRequest(
        include_tags=True, max_staleness=calls.ANY_AGE, prefix="" if repositories == _REPOSITORIES else "team-0000/"
    )
    async with calls.channel(gateway) as channel:
        await channel.channel_ready()
        cpu, began = cpu_seconds(gateway.pid), time.perf_counter()
        first, count, tags = 0.0, 0, 0
        stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(calls.STREAM_CATALOG)
        async for response in stream(request.SerializeToString(), metadata=calls.metadata(gateway)):
            first = first or time.perf_counter() - began
            answer = proto.StreamCatalogResponse.FromString(response).repositories
            count += len(answer)
            tags += sum(len(repository.tags) for repository in answer)
        whole = time.perf_counter() - began
    if count < repositories or tags != count * _TAGS:
        raise AssertionError(f"{count} repositories with {tags} tags: the answer is wrong, however fast")
    return _Stream(first, whole, cpu_seconds(gateway.pid) - cpu)


def _read_by_sqlite3(index: Path) -> float:
    began = time.perf_counter()
    with closing(sqlite3.connect(index)) as connection:
        rows = connection.execute(
            "SELECT r.name, t.tag FROM repositories AS r JOIN tags AS t ON t.repository = r.id ORDER BY r.name, t.tag"
        )
        count = sum(1 for _ in rows)
    if count != _REPOSITORIES * _TAGS:
        raise AssertionError(f"{count} tags in the file")
    return time.perf_counter() - began
