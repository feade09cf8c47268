"""What a hop over the gateway takes, where the registry is asked each time."""

from functools import partial
from pathlib import Path
from statistics import median

from bench import calls, content, load, servers
from bench.figure import Figure
from bench.statistics import interleaved

_ROUND_TRIPS_ALLOWED = 1.5


async def measure(folder: Path, rounds: int, seconds: float) -> list[Figure]:
    """One caller: the gateway, the registry asked directly with aiohttp, and the bare echo."""
    content.put_image(folder / "registry/storage", "team/app", ["v1"], content.image("team/app"))
    request = calls.get_manifest("team/app", "v1", cached=False).SerializeToString()
    async with (
        servers.registry(folder / "registry") as registry,
        servers.gateway(folder / "gateway", registry.address) as gateway,
        servers.echo(folder / "echo", await calls.answer_of(gateway, request)) as echo,
    ):
        call = partial(
            calls.load_on,
            method=calls.GET_MANIFEST,
            requests=[request],
            callers=1,
            seconds=seconds,
        )
        direct = load.Load(
            target=registry.address,
            http=[f"http://{registry.address}/v2/team/app/manifests/v1"],
            http_accept=content.MANIFEST_TYPE,
            callers=1,
            seconds=seconds,
            server=registry.pid,
        )
        outcomes = await interleaved(
            {
                "gateway": partial(load.run, call(gateway)),
                "direct": partial(load.run, direct),
                "echo": partial(load.run, call(echo)),
            },
            rounds,
        )
    p50 = {name: median(outcome.p50 for outcome in runs) * 1e3 for name, runs in outcomes.items()}
    over = [
        (gateway.p50 - direct.p50) / echo.p50
        for gateway, direct, echo in zip(outcomes["gateway"], outcomes["direct"], outcomes["echo"], strict=True)
    ]
    return [
        Figure(
            name="checked GetManifest, p50 over direct",
            runs=over,
            unit="echo round trips",
            bar=_ROUND_TRIPS_ALLOWED,
            against="aiohttp straight to the registry",
            measured=f"p50 {p50['gateway']:.2f} ms; direct {p50['direct']:.2f} ms; echo {p50['echo']:.2f} ms",
            raw=outcomes,
        )
    ]
