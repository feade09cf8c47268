"""The details of all tags of a repository: 300 tags behind 10 ms each way, the first and the second time."""

import itertools
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

import grpc

from bench import calls, command_line_peers, content, servers
from bench.figure import Figure
from bench.statistics import interleaved, ratios
from portus.registry.v1 import registry_service_pb2 as proto

_REPOSITORY = "team/app"
_TAGS = 300
_DELAY = 0.01
# A command line takes some 100 ms for a tag: so many of them tell what all would take.
_TAGS_OF_PEERS = 60


async def measure(folder: Path, rounds: int, _: float) -> list[Figure]:
    """Each round starts a gateway, which has nothing in its cache, and asks it twice."""
    tags = [f"v1.{number}" for number in range(_TAGS)]
    for number, tag in enumerate(tags):
        created = f"2026-{1 + number % 12:02}-{1 + number // 12:02}T00:00:00Z"
        content.put_image_with_configuration(folder / "registry/storage", _REPOSITORY, tag, created)
    folders = (folder / f"gateway-{number}" for number in itertools.count())
    peers = command_line_peers.installed()
    async with (
        servers.registry(folder / "registry") as registry,
        servers.delaying_proxy(registry.address, seconds=_DELAY) as proxy,
    ):
        second: list[float] = []
        measures: dict[str, Callable[[], Awaitable[float]]] = {"gateway": partial(_twice, folders, proxy, second)}
        for peer in peers:
            measures[peer.name] = partial(_peer, peer, proxy, tags)
        times = await interleaved(measures, min(rounds, 3))
    first = times["gateway"]
    figures = [
        Figure(
            name=f"ListTags FULL of {_TAGS} tags behind {_DELAY * 1000:.0f} ms each way, again",
            runs=ratios(second, first),
            unit="times",
            bar=0.75,
            against="the first time",
            measured=f"{median(second):.2f} s; first {median(first):.2f} s",
            raw={"first": first, "second": second},
        )
    ]
    for peer in peers:
        for which, own, bar in (("first", first, 2), ("second", second, 6)):
            figures.append(
                Figure(
                    name=f"ListTags FULL of {_TAGS} tags behind {_DELAY * 1000:.0f} ms each way, {which}, {peer.name}",
                    runs=ratios(times[peer.name], own),
                    unit="times faster",
                    direction="at least",
                    bar=bar,
                    against=f"{peer.name}, {_peer_processes()} at a time",
                    measured=f"{median(own):.2f} s; {peer.name} {median(times[peer.name]):.1f} s, from"
                    f" {_TAGS_OF_PEERS} tags",
                    raw={peer.name: times[peer.name], which: own},
                )
            )
    return figures


async def _twice(folders: Iterator[Path], proxy: servers.Server, second: list[float]) -> float:
    """How long the first listing takes. Appends what the second one takes."""
    async with (
        servers.gateway(next(folders), proxy.address) as gateway,
        calls.channel(gateway) as channel,
    ):
        await channel.channel_ready()
        first = await _listing(gateway, channel)
        second.append(await _listing(gateway, channel))
    return first


async def _listing(gateway: servers.Server, channel: grpc.aio.Channel) -> float:
    request = proto.ListTagsRequest(repository=_REPOSITORY, page_size=1000, view=proto.ListTagsRequest.FULL)
    began = time.perf_counter()
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(calls.LIST_TAGS)
    answer = proto.ListTagsResponse.FromString(
        await call(request.SerializeToString(), metadata=calls.metadata(gateway))
    )
    seconds = time.perf_counter() - began
    complete = sum(one.HasField("created") and one.HasField("total_size") for one in answer.details)
    if complete != _TAGS or any(one.HasField("status") for one in answer.details):
        raise AssertionError(f"{complete} tags with details, and not {_TAGS}: the answer is wrong, however fast")
    return seconds


async def _peer(peer: command_line_peers.Peer, registry: servers.Server, tags: list[str]) -> float:
    seconds = await command_line_peers.all_images(
        peer, registry.address, _REPOSITORY, tags[:_TAGS_OF_PEERS], _peer_processes()
    )
    return seconds * _TAGS / _TAGS_OF_PEERS


def _peer_processes() -> int:
    return 4 * (os.cpu_count() or 1)
