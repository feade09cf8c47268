"""What a layer of 512 MiB takes through the gateway, and how much memory the gateway needs for it."""

import asyncio
import time
from functools import partial
from pathlib import Path
from statistics import median

import grpc

from bench import calls, content, servers
from bench.figure import Figure
from bench.process_figures import cpu_seconds, forget_peak, peak_resident_bytes, resident_bytes
from bench.statistics import interleaved, ratios
from portus.registry.v1 import registry_service_pb2 as proto

_MEBIBYTE = 1024 * 1024
_SIZE = 512 * _MEBIBYTE
_CHUNK = 256 * 1024
# What the chunk's field takes in its message.
_FRAME = 4


async def measure(folder: Path, rounds: int, _: float) -> list[Figure]:
    """One caller. curl and the two streams are read and thrown away."""
    digest = content.put_blob(folder / "registry/storage", "team/app", _SIZE)
    request = proto.ReadBlobRequest(repository="team/app", digest=digest).SerializeToString()
    async with (
        servers.registry(folder / "registry") as registry,
        servers.gateway(folder / "gateway", registry.address, authentication=False) as gateway,
        servers.stream(_CHUNK + _FRAME, _SIZE // _CHUNK) as bare,
        calls.channel(gateway) as to_gateway,
        calls.channel(bare) as to_bare,
    ):
        await _read(
            to_gateway, proto.ReadBlobRequest(repository="team/app", digest=digest, limit=1).SerializeToString()
        )
        idle = resident_bytes(gateway.pid)
        forget_peak(gateway.pid)
        began = cpu_seconds(gateway.pid)
        times = await interleaved(
            {
                "gateway": partial(_read, to_gateway, request),
                "curl": partial(_curl, f"http://{registry.address}/v2/team/app/blobs/{digest}"),
                "bare": partial(_read, to_bare, b""),
            },
            rounds,
        )
        cpu = (cpu_seconds(gateway.pid) - began) / rounds
        memory = (peak_resident_bytes(gateway.pid) - idle) / _MEBIBYTE
    rates = {name: _SIZE / _MEBIBYTE / median(seconds) for name, seconds in times.items()}
    measured = f"{rates['gateway']:.0f} MiB/s, {cpu:.2f} s CPU of the gateway"
    return [
        Figure(
            name="ReadBlob of 512 MiB, time",
            runs=ratios(times["gateway"], times["bare"]),
            unit="times",
            against="a bare grpc.aio stream of the same chunks",
            measured=f"{measured}; bare stream {rates['bare']:.0f} MiB/s",
            raw=times,
        ),
        Figure(
            name="ReadBlob of 512 MiB, time",
            runs=ratios(times["gateway"], times["curl"]),
            unit="times",
            against="curl straight to the registry",
            measured=f"{measured}; curl {rates['curl']:.0f} MiB/s",
        ),
        Figure(
            name="ReadBlob of 512 MiB, memory",
            runs=[memory],
            unit="MiB over idle",
            bar=32,
            against="the idle gateway",
            measured=f"idle {idle / _MEBIBYTE:.0f} MiB",
        ),
    ]


async def _read(channel: grpc.aio.Channel, request: bytes) -> float:
    """Seconds until the end of a stream."""
    method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(calls.READ_BLOB)
    began = time.perf_counter()
    async for _ in method(request):
        pass
    return time.perf_counter() - began


async def _curl(url: str) -> float:
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec("curl", "--fail", "--silent", "--output", "/dev/null", url)
    if await process.wait():
        raise RuntimeError(f"curl failed with {process.returncode}")
    return time.perf_counter() - began
