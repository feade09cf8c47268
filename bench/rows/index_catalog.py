"""The whole catalog with tags from the index, against the best script that asks the registry, near and far away."""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

import grpc

from bench import calls, direct_client, servers
from bench.figure import Figure
from bench.rows.catalog import CONCURRENCIES, DELAY, REPOSITORIES, check_complete, put_catalog
from bench.statistics import interleaved, ratios
from portus.registry.v1 import registry_service_pb2 as proto

_FAR_CONCURRENCIES: Final = (*CONCURRENCIES, 128, 256)
# An answer from the index takes some milliseconds: a round takes the median of so many.
_REPEATED: Final = 20
_BAR: Final = 100


async def measure(folder: Path, rounds: int, _: float) -> list[Figure]:
    """The gateway has read the registry before. It answers from the index in both cases."""
    put_catalog(folder / "registry/storage")
    async with servers.registry(folder / "registry") as registry:
        figures = await _compared(folder / "near", registry, CONCURRENCIES, "", rounds)
        async with servers.delaying_proxy(registry.address, seconds=DELAY) as proxy:
            away = f" behind {DELAY * 1000:.0f} ms each way"
            figures += await _compared(folder / "far", proxy, _FAR_CONCURRENCIES, away, rounds)
    return figures


async def _compared(
    folder: Path, registry: servers.Server, concurrencies: tuple[int, ...], where: str, rounds: int
) -> list[Figure]:
    tried = {number: await _direct(registry, number) for number in concurrencies}
    best = min(tried, key=tried.__getitem__)
    async with (
        servers.gateway(folder, registry.address, PORTUS_INDEX=f"sqlite://{folder}/index.db") as gateway,
        calls.channel(gateway) as channel,
    ):
        await calls.index_ready(gateway)
        await _stream(channel, gateway)
        measures: dict[str, Callable[[], Awaitable[float]]] = {
            "page": partial(_repeated, partial(_page, channel, gateway)),
            "direct": partial(_direct, registry, best),
            "stream": partial(_repeated, partial(_stream, channel, gateway)),
        }
        times = await interleaved(measures, rounds)
    return [
        Figure(
            name=f"{rpc} with tags from the index, 1,000 repositories{where}",
            runs=ratios(times["direct"], times[name]),
            unit="times faster",
            direction="at least",
            bar=_BAR,
            against=f"tuned aiohttp script, {best} at a time (its best of {', '.join(map(str, concurrencies))})",
            measured=f"{median(times[name]) * 1000:.1f} ms; direct {median(times['direct']):.2f} s",
            raw={**times, "direct by concurrency": tried},
        )
        for name, rpc in (("stream", "StreamCatalog"), ("page", "Catalog (one page)"))
    ]


async def _direct(registry: servers.Server, concurrency: int) -> float:
    seconds, tags = await direct_client.whole_catalog(registry.address, concurrency)
    check_complete(tags)
    return seconds


async def _repeated(measured: Callable[[], Awaitable[float]]) -> float:
    return median([await measured() for _ in range(_REPEATED)])


async def _stream(channel: grpc.aio.Channel, gateway: servers.Server) -> float:
    request = proto.StreamCatalogRequest(include_tags=True, max_staleness=calls.ANY_AGE).SerializeToString()
    stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(calls.STREAM_CATALOG)
    began = time.perf_counter()
    tags = 0
    async for response in stream(request, metadata=calls.metadata(gateway)):
        tags += sum(
            len(repository.tags) for repository in proto.StreamCatalogResponse.FromString(response).repositories
        )
    seconds = time.perf_counter() - began
    check_complete(tags)
    return seconds


async def _page(channel: grpc.aio.Channel, gateway: servers.Server) -> float:
    request = proto.CatalogRequest(
        include_tags=True, page_size=REPOSITORIES, max_staleness=calls.ANY_AGE
    ).SerializeToString()
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(calls.CATALOG)
    began = time.perf_counter()
    answer = proto.CatalogResponse.FromString(await call(request, metadata=calls.metadata(gateway)))
    tags = sum(len(repository.tags) for repository in answer.repositories)
    seconds = time.perf_counter() - began
    check_complete(tags)
    return seconds
