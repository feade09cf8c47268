"""What it costs a cached call that the gateway holds when attacked: beside the same gateway without these measures."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from statistics import median

from bench import calls, content, load, servers
from bench.figure import Figure
from bench.statistics import interleaved, ratios

_CALLERS = 16
_MOST = 1.03


async def measure(folder: Path, rounds: int, seconds: float) -> list[Figure]:
    """Both sides authenticate the caller, ask the policy, and get the same load."""
    content.put_image(folder / "registry/storage", "team/app", ["v1"], content.image("team/app"))
    request = calls.get_manifest("team/app", "v1", cached=True).SerializeToString()
    async with (
        servers.registry(folder / "registry") as registry,
        servers.gateway(folder / "gateway", registry.address) as gateway,
        servers.gateway(folder / "unguarded", registry.address, program="bench.unguarded_gateway") as unguarded,
    ):

        def loaded(server: servers.Server) -> Callable[[], Awaitable[load.Outcome]]:
            return partial(
                load.run,
                calls.load_on(server, calls.GET_MANIFEST, [request], callers=_CALLERS, seconds=seconds),
            )

        outcomes = await interleaved({"gateway": loaded(gateway), "unguarded": loaded(unguarded)}, rounds)
    cpu = {name: [outcome.cpu_per_call for outcome in runs] for name, runs in outcomes.items()}
    described = {name: f"{median(values) * 1e6:.0f} µs" for name, values in cpu.items()}
    return [
        Figure(
            name="measures against attacks, server CPU of a cached GetManifest",
            runs=ratios(cpu["gateway"], cpu["unguarded"]),
            unit="times",
            bar=_MOST,
            against="the same gateway without its limits for calls and unread answers",
            measured=f"{described['gateway']}; without: {described['unguarded']}",
            raw=outcomes,
        )
    ]
