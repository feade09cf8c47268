"""What a batch of deletes saves: 100 of the 300 tags of a repository in one call, against as many calls."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

import grpc

from bench import calls, content, servers
from bench.figure import Figure
from bench.statistics import interleaved, ratios
from portus.registry.v1 import registry_service_pb2 as proto

_TAGS, _DELETED = 300, 100


async def measure(folder: Path, rounds: int, _: float) -> list[Figure]:
    """Each side of a round has a repository of its own. Single calls come one after the other, as from a script."""
    rounds = min(rounds, 3)
    images = [content.image(f"team/app:v{number}") for number in range(_TAGS)]
    names = [f"team/app-{number}" for number in range(2 * rounds)]
    for name in names:
        for number, image in enumerate(images):
            content.put_image(folder / "registry/storage", name, [f"v{number}"], image)
    repositories = iter(names)
    requests = [
        proto.DeleteManifestRequest(digest=image.digest, expected_tags=[f"v{number}"])
        for number, image in enumerate(images[:_DELETED])
    ]
    async with (
        servers.registry(folder / "registry") as registry,
        servers.gateway(
            folder / "gateway",
            registry.address,
            authentication=False,
            PORTUS_ALLOW_DELETE="true",
            PORTUS_AUDIT_LOG=str(folder / "audit.log"),
        ) as gateway,
        calls.channel(gateway) as channel,
    ):
        await channel.channel_ready()
        times = await interleaved(
            {
                "batch": partial(_batch, channel, repositories, requests),
                "single": partial(_single, channel, repositories, requests),
            },
            rounds,
        )
    return [
        Figure(
            name=f"BatchDeleteManifests, {_DELETED} of {_TAGS} tags",
            runs=ratios(times["single"], times["batch"]),
            unit="times faster",
            direction="at least",
            bar=5,
            against=f"{_DELETED} calls of DeleteManifest",
            measured=f"{median(times['batch']):.2f} s; single calls {median(times['single']):.1f} s",
            raw=times,
        )
    ]


async def _batch(
    channel: grpc.aio.Channel, repositories: Iterator[str], requests: list[proto.DeleteManifestRequest]
) -> float:
    batch = proto.BatchDeleteManifestsRequest(repository=next(repositories), requests=requests)
    began = time.perf_counter()
    stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(calls.BATCH_DELETE_MANIFESTS)
    deleted = 0
    async for response in stream(batch.SerializeToString()):
        results = proto.BatchDeleteManifestsResponse.FromString(response).results
        deleted += sum(len(result.deleted.deleted_tags) for result in results)
    seconds = time.perf_counter() - began
    _check(deleted)
    return seconds


async def _single(
    channel: grpc.aio.Channel, repositories: Iterator[str], requests: list[proto.DeleteManifestRequest]
) -> float:
    repository = next(repositories)
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(calls.DELETE_MANIFEST)
    began = time.perf_counter()
    deleted = 0
    for request in requests:
        own = proto.DeleteManifestRequest.FromString(request.SerializeToString())
        own.repository = repository
        deleted += len(proto.DeleteManifestResponse.FromString(await call(own.SerializeToString())).deleted_tags)
    seconds = time.perf_counter() - began
    _check(deleted)
    return seconds


def _check(deleted: int) -> None:
    if deleted != _DELETED:
        raise AssertionError(f"{deleted} tags were deleted, and not {_DELETED}: the answer is wrong, however fast")
