"""What a second worker adds: cached calls a second, of two processes against one."""

import os
from functools import partial
from pathlib import Path
from statistics import median

from bench import calls, content, native_load, servers
from bench.figure import Figure
from bench.statistics import interleaved, ratio


async def measure(folder: Path, rounds: int, seconds: float) -> list[Figure]:
    """Callers show no credential here: h2load takes one on its command line only, which is public."""
    content.put_image(folder / "registry/storage", "team/app", ["v1"], content.image("team/app"))
    request = calls.get_manifest("team/app", "v1", cached=True).SerializeToString()
    async with (
        servers.registry(folder / "registry") as registry,
        servers.gateway(folder / "one", registry.address, authentication=False) as one,
        servers.gateway(folder / "two", registry.address, authentication=False, PORTUS_WORKERS="2") as two,
    ):
        rates = await interleaved(
            {
                name: partial(native_load.rate, gateway, calls.GET_MANIFEST, request, folder, max(1, round(seconds)))
                for name, gateway in (("one", one), ("two", two))
            },
            rounds,
        )
    cores = os.cpu_count() or 1
    return [
        Figure(
            name="2 workers, cached GetManifest",
            value=ratio(rates["two"], rates["one"]),
            unit="times the rate",
            direction="at least",
            bar=1.6 if cores > 1 else None,
            against=f"1 worker; {cores} cores, which the load shares",
            measured=f"{median(rates['two']):.0f}/s; 1 worker {median(rates['one']):.0f}/s",
            raw=rates,
        )
    ]
