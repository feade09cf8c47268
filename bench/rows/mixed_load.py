"""How long a cached call takes while large calls run: a stream of the whole catalog, and batches of 1,000 manifests."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

import grpc

from bench import calls, content, load, servers
from bench.figure import Figure
from bench.rows.large_catalog import put_repositories
from bench.statistics import interleaved, ratios
from portus.registry.v1 import registry_service_pb2 as proto

_BATCH: Final = 1000


async def measure(folder: Path, rounds: int, seconds: float) -> list[Figure]:
    """One caller makes the cached calls. The batches check each manifest with the registry.

    An echo server that is called beside the same large calls shows how much of it is want of processors.
    """
    storage = folder / "registry/storage"
    put_repositories(storage)
    tags = [f"v{number}" for number in range(_BATCH)]
    content.put_image(storage, "team/app", tags, content.image("team/app"))
    request = calls.get_manifest("team/app", "v1", cached=True).SerializeToString()
    batch = proto.BatchGetManifestsRequest(
        requests=[calls.get_manifest("team/app", tag, cached=False) for tag in tags]
    ).SerializeToString()
    stream = proto.StreamCatalogRequest().SerializeToString()
    async with (
        servers.registry(folder / "registry") as registry,
        servers.gateway(folder / "gateway", registry.address) as gateway,
        servers.equal_work(folder / "equal-work", await calls.answer_of(gateway, request)) as equal_work,
    ):

        def cached(server: servers.Server) -> load.Load:
            return calls.load_on(server, calls.GET_MANIFEST, [request], callers=1, seconds=seconds)

        async def beside_large_calls(server: servers.Server) -> load.Outcome:
            async with _repeated(
                _read(gateway, calls.STREAM_CATALOG, stream), _read(gateway, calls.BATCH_GET_MANIFESTS, batch)
            ):
                return await load.run(cached(server))

        measures: dict[str, Callable[[], Awaitable[load.Outcome]]] = {
            "alone": partial(load.run, cached(gateway)),
            "beside": partial(beside_large_calls, gateway),
            "echo alone": partial(load.run, cached(equal_work)),
            "echo beside": partial(beside_large_calls, equal_work),
        }
        outcomes = await interleaved(measures, rounds)
    p99 = {name: [outcome.p99 for outcome in made] for name, made in outcomes.items()}
    return [
        Figure(
            name="p99 of a cached call beside large calls",
            runs=ratios(p99["beside"], p99["alone"]),
            unit="times",
            bar=3,
            against="its p99 alone",
            measured=f"{median(p99['beside']) * 1e3:.1f} ms; alone {median(p99['alone']) * 1e3:.1f} ms",
            raw=outcomes,
        ),
        Figure(
            name="p99 of a cached call beside large calls, echo",
            runs=ratios(p99["beside"], p99["echo beside"]),
            unit="times",
            against="an echo server of equal work, which makes no large calls itself, beside the same large calls",
            measured=f"{median(p99['beside']) * 1e3:.1f} ms; echo {median(p99['echo beside']) * 1e3:.1f} ms,"
            f" alone {median(p99['echo alone']) * 1e3:.1f} ms",
            raw=outcomes,
        ),
    ]


@asynccontextmanager
async def _repeated(*works: Coroutine[object, object, None]) -> AsyncGenerator[None, None]:
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        failures = [
            made for made in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(made, Exception)
        ]
    if failures:
        raise ExceptionGroup("the large calls failed", failures)


async def _read(gateway: servers.Server, method: str, request: bytes) -> None:
    async with calls.channel(gateway) as channel:
        call: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(method)
        while True:
            async for _ in call(request, metadata=calls.metadata(gateway)):
                pass
