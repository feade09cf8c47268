"""How long the gateway takes from the start of its process until it has answered a call."""

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from statistics import median
from typing import Final

import grpc

from bench import calls, servers
from bench.figure import Figure
from bench.statistics import interleaved

_CHECK: Final = "/grpc.health.v1.Health/Check"


async def measure(folder: Path, rounds: int, _: float) -> list[Figure]:
    """Its first answer is that of a health check: the registry is not waited for."""
    async with servers.registry(folder / "registry") as registry:
        times = await interleaved(
            {
                "gateway": _started(lambda: servers.gateway(folder / "gateway", registry.address)),
                "echo": _started(lambda: servers.echo(folder / "echo", b"")),
            },
            rounds,
        )
    own, echo = median(times["gateway"]), median(times["echo"])
    return [
        Figure(
            name="start-up, until the first answer",
            runs=times["gateway"],
            unit="s",
            bar=0.6,
            against="nothing; most of it is the time in which Python imports modules",
            measured=f"{own / echo:.1f} times the bare echo's {echo:.2f} s",
            raw=times,
        )
    ]


def _started(server: Callable[[], AbstractAsyncContextManager[servers.Server]]) -> Callable[[], Awaitable[float]]:
    async def start() -> float:
        began = time.perf_counter()
        async with server() as running, calls.channel(running) as channel:
            check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_CHECK)
            # That of the whole process, which is the empty name: an empty request.
            await check(b"")
            return time.perf_counter() - began

    return start
