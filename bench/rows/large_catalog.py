"""A catalog of 100,000 repositories, streamed: the gateway's memory, the first answer, and what late pages cost."""

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import grpc

from bench import calls, content, direct_client, servers
from bench.figure import Figure
from bench.process_figures import forget_peak, peak_resident_bytes, resident_bytes
from portus.registry.v1 import registry_service_pb2 as proto

_REPOSITORIES = 100_000
_PAGE = 1000
_MEBIBYTE = 1024 * 1024
# So many pages at either end are early, and late.
_ENDS = 10


@dataclass(frozen=True, slots=True)
class _Stream:
    first: float
    """When the first answer came, in seconds; `pages`: how long each thousand of repositories took."""
    pages: list[float]


async def measure(folder: Path, _: int, __: float) -> list[Figure]:
    """Without tags: what is measured is the catalog. A warm-up with a small one comes first."""
    put_repositories(folder / "registry/storage")
    async with (
        servers.registry(folder / "registry") as registry,
        servers.gateway(folder / "gateway", registry.address) as gateway,
    ):
        own = await direct_client.page_times(registry.address, _REPOSITORIES)
        await _streamed(gateway, prefix="team-000/", repositories=1000)
        idle = resident_bytes(gateway.pid)
        forget_peak(gateway.pid)
        stream = await _streamed(gateway, prefix="", repositories=_REPOSITORIES)
        grown = (peak_resident_bytes(gateway.pid) - idle) / _MEBIBYTE
    growth, own_growth = _growth(stream.pages), _growth(own)
    return [
        Figure(
            name="100,000 repositories streamed, peak memory over idle",
            runs=[grown],
            unit="MiB",
            bar=30,
            against="the idle gateway",
            measured=f"idle {idle / _MEBIBYTE:.0f} MiB",
            raw={"idle": idle, "grown": grown},
        ),
        Figure(
            name="100,000 repositories streamed, first answer",
            runs=[stream.first],
            unit="s",
            bar=1,
            against="a second; the registry's own first page is in it",
            measured=f"the registry's own first page {own[0]:.2f} s; the whole stream {sum(stream.pages):.0f} s,"
            f" straight from the registry {sum(own):.0f} s",
            raw={"first": stream.first},
        ),
        Figure(
            name="a late page against an early one",
            runs=[growth / own_growth],
            unit="times",
            bar=1.25,
            against="the registry's own late page against its early one",
            measured=f"last {_ENDS} pages {growth:.2f} times the first {_ENDS}; the registry's {own_growth:.2f} times",
            raw={"gateway": stream.pages, "registry": own},
        ),
    ]


def put_repositories(storage: Path) -> None:
    """Writes the 100,000 repositories."""
    for number in range(_REPOSITORIES):
        content.put_empty_repository(storage, f"team-{number // 1000:03}/app-{number % 1000:03}")


def _growth(pages: list[float]) -> float:
    return median(pages[-_ENDS:]) / median(pages[1 : _ENDS + 1])


async def _streamed(gateway: servers.Server, *, prefix: str, repositories: int) -> _Stream:
    request = proto.StreamCatalogRequest(prefix=prefix).SerializeToString()
    async with calls.channel(gateway) as channel:
        await channel.channel_ready()
        began = page_began = time.perf_counter()
        first, count, pages = 0.0, 0, list[float]()
        stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(calls.STREAM_CATALOG)
        async for response in stream(request, metadata=calls.metadata(gateway)):
            if not count:
                first = time.perf_counter() - began
            count += len(proto.StreamCatalogResponse.FromString(response).repositories)
            # A message may end in the middle of a thousand.
            while len(pages) < count // _PAGE:
                now = time.perf_counter()
                pages.append(now - page_began)
                page_began = now
    if count != repositories:
        raise AssertionError(f"{count} repositories, and not {repositories}: the answer is wrong, however fast")
    return _Stream(first, pages)
