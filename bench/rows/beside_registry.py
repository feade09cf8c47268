"""Cached calls per second beside what callers get from the registry itself."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from bench import calls, content, load, native_load, servers
from bench.figure import Figure
from bench.statistics import interleaved, ratios

_CALLERS: Final = 32


async def measure(folder: Path, rounds: int, seconds: float) -> list[Figure]:
    """One worker. Callers show no credential: h2load takes one only on its command line, which is public."""
    content.put_image(folder / "registry/storage", "team/app", ["v1"], content.image("team/app"))
    request = calls.get_manifest("team/app", "v1", cached=True).SerializeToString()
    path = "/v2/team/app/manifests/v1"
    whole_seconds = max(1, round(seconds))
    async with (
        servers.registry(folder / "registry") as registry,
        servers.gateway(folder / "gateway", registry.address, authentication=False) as gateway,
    ):

        async def from_gateway() -> float:
            rate = await native_load.rate(
                gateway, calls.GET_MANIFEST, request, folder, whole_seconds, calls_per_connection=1
            )
            return rate.succeeded

        async def from_registry_by_aiohttp() -> float:
            outcome = await load.run(
                load.Load(
                    target=registry.address,
                    http=[f"http://{registry.address}{path}"],
                    http_accept=content.MANIFEST_TYPE,
                    callers=_CALLERS,
                    seconds=seconds,
                    server=registry.pid,
                )
            )
            return outcome.rate

        measures: dict[str, Callable[[], Awaitable[float]]] = {
            "gateway": from_gateway,
            "registry": partial(native_load.http_rate, registry, path, content.MANIFEST_TYPE, whole_seconds),
            "aiohttp": from_registry_by_aiohttp,
        }
        rates = await interleaved(measures, rounds)
    return [
        Figure(
            name=f"cached GetManifest, {_CALLERS} callers, one worker",
            runs=ratios(rates["gateway"], rates[side]),
            unit="times the rate",
            direction="at least",
            bar=bar,
            against=against,
            measured=f"{median(rates['gateway']):.0f}/s; {median(rates[side]):.0f}/s",
            raw=rates,
        )
        for side, bar, against in (
            ("registry", 1.3, "GET of the manifest from the registry itself, loaded by wrk"),
            ("aiohttp", 1.8, "aiohttp clients that get the manifest from the registry"),
        )
    ]
