"""What a second worker adds: cached calls a second, of two processes against one."""

import os
from functools import partial
from pathlib import Path
from statistics import median

from bench import calls, content, native_load, servers
from bench.figure import Figure
from bench.statistics import interleaved, ratios

_MORE = 1.7


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
                name: partial(
                    native_load.successful_rate, gateway, calls.GET_MANIFEST, request, folder, max(1, round(seconds))
                )
                for name, gateway in (("one", one), ("two", two))
            },
            rounds,
        )
    cores = os.cpu_count() or 1
    calls_of = {name: [outcome.calls for outcome in outcomes] for name, outcomes in rates.items()}
    one_cores = median(outcome.server_cores for outcome in rates["one"])
    load_cores = median(outcome.load_cores for outcome in rates["one"])
    return [
        Figure(
            name="2 workers, cached GetManifest",
            runs=ratios(calls_of["two"], calls_of["one"]),
            unit="times the rate",
            direction="at least",
            # No machine does more than it has processors for: one worker takes more than one, since gRPC has threads
            # of its own.
            bar=_MORE if cores >= _MORE * (one_cores + load_cores) else None,
            against="1 worker",
            measured=f"{median(calls_of['two']):.0f}/s; 1 worker {median(calls_of['one']):.0f}/s, which keeps"
            f" {one_cores:.2f} of {cores} processors busy, and the load {load_cores:.2f}:"
            f" at most {cores / (one_cores + load_cores):.2f} times as much is possible here",
            raw=rates,
        )
    ]
