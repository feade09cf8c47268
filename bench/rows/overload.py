"""What is left of the throughput if four times as many calls come as the gateway serves at a time."""

from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from bench import calls, content, native_load, servers
from bench.figure import Figure
from bench.statistics import interleaved, ratios

# One for each connection of the load.
_CAPACITY: Final = 32
_TIMES: Final = 4
# In seconds, each way: a call has to wait for its place.
_DELAY: Final = 0.01


async def measure(folder: Path, rounds: int, seconds: float) -> list[Figure]:
    """The calls are checked with the registry, so that many wait at the same time.

    A refused caller calls again at once, without the pause that clients make: the worst case.
    """
    content.put_image(folder / "registry/storage", "team/app", ["v1"], content.image("team/app"))
    request = calls.get_manifest("team/app", "v1", cached=False).SerializeToString()
    async with (
        servers.registry(folder / "registry") as registry,
        servers.delaying_proxy(registry.address, seconds=_DELAY) as proxy,
        servers.gateway(
            folder / "gateway",
            proxy.address,
            authentication=False,
            PORTUS_MAX_CONCURRENT_CALLS=str(_CAPACITY),
        ) as gateway,
    ):
        rates = await interleaved(
            {
                name: partial(
                    native_load.rate,
                    gateway,
                    calls.GET_MANIFEST,
                    request,
                    folder,
                    max(1, round(seconds)),
                    calls_per_connection=calls_per_connection,
                )
                for name, calls_per_connection in (("capacity", 1), ("overload", _TIMES))
            },
            rounds,
        )
    succeeded = {name: [rate.succeeded for rate in made] for name, made in rates.items()}
    refused = median(1 - rate.succeeded / rate.calls for rate in rates["overload"])
    unexpected = {status for made in rates.values() for rate in made for status in rate.statuses}
    if unexpected - {"OK", "ResourceExhausted"}:
        raise AssertionError(f"calls failed: {unexpected}")
    return [
        Figure(
            name=f"successful calls at {_TIMES} times the capacity",
            runs=ratios(succeeded["overload"], succeeded["capacity"]),
            unit="of the rate",
            direction="at least",
            bar=0.9,
            against=f"as many callers as the gateway serves at a time ({_CAPACITY})",
            measured=f"{median(succeeded['overload']):.0f}/s, {refused:.0%} of the calls are refused;"
            f" {median(succeeded['capacity']):.0f}/s",
            raw=rates,
        )
    ]
