"""A load that takes little of the machine itself: nghttp2's h2load, which is written in C.

A load in Python costs about what the server does, and on a machine of two cores leaves none to a second worker.
"""

import re
import resource
import shutil
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import gateway_metrics
from bench.child_process import finished
from bench.process_figures import cpu_seconds
from bench.servers import Server

_CONNECTIONS: Final = 32
_STREAMS: Final = 4
_WARM_UP_SECONDS: Final = 1
_FINISHED: Final = re.compile(r"^finished in .*?, ([0-9.]+) req/s", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls a second; how many processors the gateway's own process (without workers) and the load kept busy for it."""

    calls: float
    server_cores: float
    load_cores: float


def program() -> str:
    """Raises `FileNotFoundError`, with what to do."""
    found = shutil.which("h2load")
    if not found:
        raise FileNotFoundError("no h2load to make the load with: run bench/install")
    return found


async def rate(gateway: Server, method: str, request: bytes, folder: Path, seconds: int) -> Rate:
    """How many calls a gateway without authentication answers, over connections enough for all of its workers.

    Raises `AssertionError` if one of them failed.
    """
    file = folder / "request"
    # Not compressed, its length, itself: gRPC's framing of a message.
    file.write_bytes(struct.pack(">BI", 0, len(request)) + request)
    began, served, loaded = time.perf_counter(), cpu_seconds(gateway.pid), _of_children()
    command = [
        program(),
        *("--clients", str(_CONNECTIONS), "--max-concurrent-streams", str(_STREAMS), "--threads", "1"),
        *("--duration", str(seconds), "--warm-up-time", str(_WARM_UP_SECONDS), "--data", str(file)),
        *("--header", "content-type: application/grpc", "--header", "te: trailers"),
        f"http://{gateway.address}{method}",
    ]
    made = await finished(command)
    reported = _FINISHED.search(made.stdout.decode())
    if made.returncode or reported is None:
        raise RuntimeError(f"h2load ended with status {made.returncode}:\n{made.stdout.decode()}")
    elapsed = time.perf_counter() - began
    rate = Rate(
        calls=float(reported[1]),
        server_cores=(cpu_seconds(gateway.pid) - served) / elapsed,
        load_cores=(_of_children() - loaded) / elapsed,
    )
    await _all_answered(gateway)
    return rate


def _of_children() -> float:
    """CPU seconds of the processes that have been waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


async def _all_answered(gateway: Server) -> None:
    # h2load sees HTTP's status, which is 200 for a call that failed, too.
    failed = {
        sample.labels["grpc_code"]: sample.value
        for sample in await gateway_metrics.samples(gateway, "grpc_server_handled")
        # The calls that run when time is up are given up.
        if sample.name.endswith("_total") and sample.labels["grpc_code"] not in ("OK", "Canceled", "Cancelled")
    }
    if failed:
        raise AssertionError(f"calls failed: {failed}")
