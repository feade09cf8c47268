"""Loads that take little of the machine themselves: nghttp2's h2load and wrk, which are written in C.

A load in Python costs about what the server does, and on a machine of two cores leaves none to a second worker.
"""

import re
import resource
import shutil
import struct
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import gateway_metrics
from bench.child_process import finished
from bench.process_figures import cpu_seconds
from bench.servers import Server

_CONNECTIONS: Final = 32
_WARM_UP_SECONDS: Final = 1
_H2LOAD_FINISHED: Final = re.compile(r"^finished in .*?, ([0-9.]+) req/s", re.MULTILINE)
_WRK_FINISHED: Final = re.compile(r"^Requests/sec: +([0-9.]+)", re.MULTILINE)
_WRK_FAILED: Final = re.compile(r"^ *(Non-2xx or 3xx responses|Socket errors).*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls per second, and how many processors the server's own process (without workers) and the load kept busy.

    `statuses` has the number of the calls by the name of their gRPC status, without those that the end of the load
    interrupted.
    """

    calls: float
    server_cores: float
    load_cores: float
    statuses: Mapping[str, int]

    @property
    def succeeded(self) -> float:
        """Calls per second with the status OK."""
        return self.calls * self.statuses.get("OK", 0) / sum(self.statuses.values())


def program(name: str) -> str:
    """Raises `FileNotFoundError`, which says what to do, if it is missing."""
    found = shutil.which(name)
    if not found:
        raise FileNotFoundError(f"{name} is needed to make the load: run bench/install")
    return found


async def rate(
    gateway: Server, method: str, request: bytes, folder: Path, seconds: int, *, calls_per_connection: int = 4
) -> Rate:
    """Loads a gateway without authentication over 32 connections, each with `calls_per_connection` at a time."""
    file = folder / "request"
    # gRPC's framing of a message: not compressed, its length, itself.
    file.write_bytes(struct.pack(">BI", 0, len(request)) + request)
    before = await _statuses(gateway)
    began, served, loaded = time.perf_counter(), cpu_seconds(gateway.pid), _of_children()
    command = [
        program("h2load"),
        *("--clients", str(_CONNECTIONS), "--max-concurrent-streams", str(calls_per_connection), "--threads", "1"),
        *("--duration", str(seconds), "--warm-up-time", str(_WARM_UP_SECONDS), "--data", str(file)),
        *("--header", "content-type: application/grpc", "--header", "te: trailers"),
        f"http://{gateway.address}{method}",
    ]
    made = await finished(command)
    reported = _H2LOAD_FINISHED.search(made.stdout.decode())
    if made.returncode or reported is None:
        raise RuntimeError(f"h2load ended with status {made.returncode}:\n{made.stdout.decode()}")
    elapsed = time.perf_counter() - began
    return Rate(
        calls=float(reported[1]),
        server_cores=(cpu_seconds(gateway.pid) - served) / elapsed,
        load_cores=(_of_children() - loaded) / elapsed,
        statuses=dict(await _statuses(gateway) - before),
    )


async def successful_rate(gateway: Server, method: str, request: bytes, folder: Path, seconds: int) -> Rate:
    """As `rate`. Raises `AssertionError` if a call failed."""
    measured = await rate(gateway, method, request, folder, seconds)
    if set(measured.statuses) != {"OK"}:
        raise AssertionError(f"calls failed: {measured.statuses}")
    return measured


async def http_rate(server: Server, url: str, accept: str, seconds: int) -> float:
    """GET requests per second that a server answers over 32 connections, loaded by wrk."""
    command = [
        program("wrk"),
        *("--connections", str(_CONNECTIONS), "--threads", "1", "--duration", f"{seconds}s"),
        *("--header", f"Accept: {accept}"),
        f"http://{server.address}{url}",
    ]
    made = await finished(command)
    output = made.stdout.decode()
    reported = _WRK_FINISHED.search(output)
    if made.returncode or reported is None or _WRK_FAILED.search(output):
        raise RuntimeError(f"wrk ended with status {made.returncode}:\n{output}")
    return float(reported[1])


def _of_children() -> float:
    """CPU seconds of the child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


async def _statuses(gateway: Server) -> Counter[str]:
    # h2load sees only HTTP's status, which is 200 for failed calls as well.
    counted: Counter[str] = Counter()
    for sample in await gateway_metrics.samples(gateway, "grpc_server_handled"):
        # The end of the load interrupts the calls that are running.
        if sample.name.endswith("_total") and sample.labels["grpc_code"] not in ("Canceled", "Cancelled"):
            counted[sample.labels["grpc_code"]] += int(sample.value)
    return counted
