"""The load: a process of its own that makes the same call again and again, and says what came of it.

`python -m bench.load` reads a `Load` as JSON from standard input, and writes an `Outcome` as JSON to standard output.
"""

import asyncio
import json
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field

import aiohttp
import grpc
import uvloop

from bench.child_process import finished
from bench.process_figures import cpu_seconds
from bench.statistics import percentile

_WARM_UP_SHARE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Makes `requests` (in base64) in turn to `method` of `target`, by `callers` at a time, for `seconds`.

    A method that streams is read to its end, and each of its messages counts by the bytes in it. With `http`, it is
    these URLs that are asked for instead. `server` is the process whose CPU is measured meanwhile.
    """

    target: str
    method: str = ""
    requests: Sequence[str] = ()
    http: Sequence[str] = ()
    http_accept: str = ""
    token: str = field(default="", repr=False)
    streaming: bool = False
    callers: int
    seconds: float
    server: int

    @staticmethod
    def of(requests: Sequence[bytes]) -> list[str]:
        """Requests, as a `Load` has them."""
        return [b64encode(request).decode() for request in requests]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it. `cpu` is the server's, all times are in seconds."""

    calls: int
    messages: int
    answered_bytes: int
    seconds: float
    cpu: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds

    @property
    def cpu_per_call(self) -> float:
        return self.cpu / self.calls


class _Counters:
    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.messages = 0
        self.answered_bytes = 0


_Once = Callable[[int, _Counters], Awaitable[None]]


async def _measured(load: Load) -> Outcome:
    if load.http:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            return await _repeated(load, lambda turn, counters: _fetch(load, session, turn, counters))
    metadata = (("authorization", f"Bearer {load.token}"),) if load.token else None
    requests = [b64decode(request) for request in load.requests]
    options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(load.target, options=options) as channel:
        if load.streaming:
            stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(load.method)

            async def read(turn: int, counters: _Counters) -> None:
                async for message in stream(requests[turn % len(requests)], metadata=metadata):
                    counters.messages += 1
                    counters.answered_bytes += len(message)

            return await _repeated(load, read)
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(load.method)

        async def ask(turn: int, counters: _Counters) -> None:
            message = await call(requests[turn % len(requests)], metadata=metadata)
            counters.messages += 1
            counters.answered_bytes += len(message)

        return await _repeated(load, ask)


async def _fetch(load: Load, session: aiohttp.ClientSession, turn: int, counters: _Counters) -> None:
    headers = {"Accept": load.http_accept}
    async with session.get(load.http[turn % len(load.http)], headers=headers, raise_for_status=True) as answer:
        counters.answered_bytes += len(await answer.read())
        counters.messages += 1


async def _repeated(load: Load, once: _Once) -> Outcome:
    warm_up = _Counters()
    await _for_a_while(load, once, load.seconds * _WARM_UP_SHARE, warm_up)
    counters = _Counters()
    cpu, began = cpu_seconds(load.server), time.perf_counter()
    await _for_a_while(load, once, load.seconds, counters)
    return Outcome(
        calls=len(counters.latencies),
        messages=counters.messages,
        answered_bytes=counters.answered_bytes,
        seconds=time.perf_counter() - began,
        cpu=cpu_seconds(load.server) - cpu,
        p50=percentile(counters.latencies, 0.50),
        p99=percentile(counters.latencies, 0.99),
    )


async def _for_a_while(load: Load, once: _Once, seconds: float, counters: _Counters) -> None:
    end = time.perf_counter() + seconds

    async def caller(number: int) -> None:
        turn = number
        while (began := time.perf_counter()) < end:
            await once(turn, counters)
            counters.latencies.append(time.perf_counter() - began)
            turn += load.callers

    async with asyncio.TaskGroup() as callers:
        for number in range(load.callers):
            callers.create_task(caller(number))


async def run(load: Load) -> Outcome:
    """Makes the load in a process of its own."""
    made = await finished([sys.executable, "-m", "bench.load"], json.dumps(asdict(load)).encode())
    if made.returncode:
        raise RuntimeError(f"the load on {load.target} failed:\n{made.stderr.decode(errors='replace')}")
    return Outcome(**json.loads(made.stdout))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome = runner.run(_measured(Load(**json.loads(sys.stdin.read()))))
    print(json.dumps(asdict(outcome)))
