"""The server's CPU time for a cached GetManifest: beside two echo servers, and with authentication beside without."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from statistics import median

from bench import calls, content, load, servers
from bench.figure import Figure
from bench.statistics import interleaved, ratios

_CALLERS = 16


async def measure(folder: Path, rounds: int, seconds: float) -> list[Figure]:
    """All sides get the same load from 16 callers."""
    content.put_image(folder / "registry/storage", "team/app", ["v1"], content.image("team/app"))
    request = calls.get_manifest("team/app", "v1", cached=True).SerializeToString()
    async with (
        servers.registry(folder / "registry") as registry,
        servers.gateway(folder / "gateway", registry.address) as gateway,
        servers.gateway(folder / "open", registry.address, authentication=False) as without,
        servers.echo(folder / "echo", await calls.answer_of(gateway, request)) as echo,
        servers.equal_work(folder / "equal-work", await calls.answer_of(gateway, request)) as equal_work,
    ):

        def loaded(server: servers.Server) -> Callable[[], Awaitable[load.Outcome]]:
            return partial(
                load.run,
                calls.load_on(server, calls.GET_MANIFEST, [request], callers=_CALLERS, seconds=seconds),
            )

        outcomes = await interleaved(
            {
                "echo": loaded(echo),
                "equal work": loaded(equal_work),
                "gateway": loaded(gateway),
                "without": loaded(without),
            },
            rounds,
        )
    cpu = {name: [outcome.cpu_per_call for outcome in runs] for name, runs in outcomes.items()}
    return [
        Figure(
            name="cached GetManifest, server CPU, equal work",
            runs=ratios(cpu["gateway"], cpu["equal work"]),
            unit="times",
            bar=1.2,
            against="grpc.aio echo that also reads a token, the deadline and the request, and serializes the answer",
            measured=f"{_described(outcomes['gateway'])}; echo: {_described(outcomes['equal work'])}",
            raw=outcomes,
        ),
        Figure(
            name="cached GetManifest, server CPU",
            runs=ratios(cpu["gateway"], cpu["echo"]),
            unit="times",
            bar=1.35,
            against="bare grpc.aio echo of the same bytes",
            measured=f"{_described(outcomes['gateway'])}; echo: {_described(outcomes['echo'])}",
            raw=outcomes,
        ),
        Figure(
            name="authentication and policy, server CPU",
            runs=ratios(cpu["gateway"], cpu["without"]),
            unit="times",
            bar=1.15,
            against="the gateway without them",
            measured=f"{_described(outcomes['gateway'])}; without: {_described(outcomes['without'])}",
            raw=outcomes,
        ),
    ]


def _described(outcomes: list[load.Outcome]) -> str:
    cpu = median(outcome.cpu_per_call for outcome in outcomes) * 1e6
    rate = median(outcome.rate for outcome in outcomes)
    p50, p99 = (median(getattr(outcome, name) for outcome in outcomes) * 1e3 for name in ("p50", "p99"))
    return f"{cpu:.0f} µs a call, {rate:.0f}/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms"
