"""A load that takes little of the machine itself: nghttp2's h2load, which is written in C.

A load in Python costs about what the server does, and on a machine of two cores leaves none to a second worker.
"""

import asyncio
import re
import shutil
import struct
from pathlib import Path
from typing import Final

from bench import gateway_metrics
from bench.servers import Server

_CONNECTIONS: Final = 32
_STREAMS: Final = 4
_WARM_UP_SECONDS: Final = 1
_FINISHED: Final = re.compile(r"^finished in .*?, ([0-9.]+) req/s", re.MULTILINE)


def program() -> str:
    """Raises `FileNotFoundError`, with what to do."""
    found = shutil.which("h2load")
    if not found:
        raise FileNotFoundError("no h2load to make the load with: run bench/install")
    return found


async def rate(gateway: Server, method: str, request: bytes, folder: Path, seconds: int) -> float:
    """Calls a second that a gateway without authentication answers, over connections enough for all of its workers.

    Raises `AssertionError` if one of them failed.
    """
    file = folder / "request"
    # Not compressed, its length, itself: gRPC's framing of a message.
    file.write_bytes(struct.pack(">BI", 0, len(request)) + request)
    process = await asyncio.create_subprocess_exec(
        program(),
        *("--clients", str(_CONNECTIONS), "--max-concurrent-streams", str(_STREAMS), "--threads", "1"),
        *("--duration", str(seconds), "--warm-up-time", str(_WARM_UP_SECONDS), "--data", str(file)),
        *("--header", "content-type: application/grpc", "--header", "te: trailers"),
        f"http://{gateway.address}{method}",
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    finished = _FINISHED.search(output.decode())
    if process.returncode or finished is None:
        raise RuntimeError(f"h2load ended with status {process.returncode}:\n{output.decode()}")
    await _all_answered(gateway)
    return float(finished[1])


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
