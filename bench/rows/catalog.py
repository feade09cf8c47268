"""The whole catalog with tags: 1,000 repositories of 5 tags, near by and behind 10 ms each way."""

import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from statistics import median

import grpc

from bench import calls, command_line_peers, content, direct_client, servers
from bench.figure import Figure
from bench.statistics import interleaved, ratios
from portus.registry.v1 import registry_service_pb2 as proto

REPOSITORIES, TAGS = 1000, 5
CONCURRENCIES = (4, 8, 16, 32, 64)
"""How many requests at a time the script makes."""
DELAY = 0.01
# A command line takes some 20 ms for a repository: so many of them tell what a thousand would take.
_REPOSITORIES_OF_PEERS = 50


async def measure(folder: Path, rounds: int, _: float) -> list[Figure]:
    """Against a tuned script at its best concurrency; behind the delay, against one after the other and the peers."""
    names = put_catalog(folder / "registry/storage")
    async with servers.registry(folder / "registry") as registry:
        figures = await _near(folder, registry, rounds)
        async with servers.delaying_proxy(registry.address, seconds=DELAY) as proxy:
            figures += await _far(folder, proxy, names, rounds)
    return figures


def put_catalog(storage: Path) -> list[str]:
    """Writes the repositories. Answers with their names."""
    names = sorted(f"team-{number % 10}/app-{number}" for number in range(REPOSITORIES))
    tags = [f"v1.{number}" for number in range(TAGS)]
    for name in names:
        content.put_image(storage, name, tags, content.image(name))
    return names


async def _near(folder: Path, registry: servers.Server, rounds: int) -> list[Figure]:
    tried = {number: await _direct(registry, number) for number in CONCURRENCIES}
    best = min(tried, key=tried.__getitem__)
    async with servers.gateway(folder / "near", registry.address) as gateway:
        await _stream(gateway)
        times = await interleaved(
            {
                "stream": partial(_stream, gateway),
                "direct": partial(_direct, registry, best),
                "page": partial(_page, gateway),
            },
            rounds,
        )
    return [
        Figure(
            name=f"{rpc} with tags, 1,000 repositories",
            runs=ratios(times[name], times["direct"]),
            unit="times",
            bar=bar,
            against=f"tuned aiohttp script, {best} at a time (its best of {', '.join(map(str, CONCURRENCIES))})",
            measured=f"{median(times[name]):.2f} s; direct {median(times['direct']):.2f} s",
            raw={**times, "direct by concurrency": tried},
        )
        for name, rpc, bar in (("stream", "StreamCatalog", 1.25), ("page", "Catalog (one page)", 1.15))
    ]


async def _far(folder: Path, proxy: servers.Server, names: list[str], rounds: int) -> list[Figure]:
    peers = command_line_peers.installed()
    async with servers.gateway(folder / "far", proxy.address) as gateway:
        await _stream(gateway)
        measures: dict[str, Callable[[], Awaitable[float]]] = {
            "gateway": partial(_stream, gateway),
            "one after the other": partial(_direct, proxy, 1),
        }
        for peer in peers:
            measures[peer.name] = partial(_peer, peer, proxy, names)
        # One after the other takes half a minute.
        times = await interleaved(measures, min(rounds, 2))
    near = median(times["gateway"])
    away = f"behind {DELAY * 1000:.0f} ms each way"
    figures = [
        Figure(
            name=f"catalog with tags {away}",
            runs=ratios(times["one after the other"], times["gateway"]),
            unit="times faster",
            direction="at least",
            bar=7,
            against="aiohttp, one after the other",
            measured=f"{near:.2f} s; one after the other {median(times['one after the other']):.2f} s",
            raw=times,
        )
    ]
    figures.extend(
        Figure(
            name=f"catalog with tags {away}, {peer.name}",
            runs=ratios(times[peer.name], times["gateway"]),
            unit="times faster",
            direction="at least",
            bar=6,
            against=f"{peer.name}, {_peer_processes()} at a time",
            measured=f"{near:.2f} s; {peer.name} {median(times[peer.name]):.1f} s, from"
            f" {_REPOSITORIES_OF_PEERS} repositories",
            raw=times[peer.name],
        )
        for peer in peers
    )
    return figures


async def _direct(registry: servers.Server, concurrency: int) -> float:
    seconds, tags = await direct_client.whole_catalog(registry.address, concurrency)
    check_complete(tags)
    return seconds


async def _stream(gateway: servers.Server) -> float:
    request = proto.StreamCatalogRequest(include_tags=True).SerializeToString()
    async with calls.channel(gateway) as channel:
        await channel.channel_ready()
        began = time.perf_counter()
        stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(calls.STREAM_CATALOG)
        tags = 0
        async for response in stream(request, metadata=calls.metadata(gateway)):
            tags += sum(
                len(repository.tags) for repository in proto.StreamCatalogResponse.FromString(response).repositories
            )
        seconds = time.perf_counter() - began
    check_complete(tags)
    return seconds


async def _page(gateway: servers.Server) -> float:
    request = proto.CatalogRequest(include_tags=True, page_size=REPOSITORIES).SerializeToString()
    async with calls.channel(gateway) as channel:
        await channel.channel_ready()
        began = time.perf_counter()
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(calls.CATALOG)
        answer = proto.CatalogResponse.FromString(await call(request, metadata=calls.metadata(gateway)))
        seconds = time.perf_counter() - began
    check_complete(sum(len(repository.tags) for repository in answer.repositories))
    return seconds


async def _peer(peer: command_line_peers.Peer, registry: servers.Server, names: list[str]) -> float:
    seconds = await command_line_peers.whole_catalog(
        peer, registry.address, names[:_REPOSITORIES_OF_PEERS], _peer_processes()
    )
    return seconds * REPOSITORIES / _REPOSITORIES_OF_PEERS


def _peer_processes() -> int:
    return 4 * (os.cpu_count() or 1)


def check_complete(tags: int) -> None:
    """Raises `AssertionError` if these are not all."""
    if tags != REPOSITORIES * TAGS:
        raise AssertionError(f"{tags} tags, and not {REPOSITORIES * TAGS}: the answer is wrong, however fast")
