"""An idle gateway takes hardly more memory than the libraries that it uses."""

import asyncio
import re
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from tests.e2e.gateway_process import clean_environment, gateway_process

MOST_MORE = 20 * 1024
BARE_SERVER = """
import asyncio, sys
import aiohttp, click, cryptography.hazmat.primitives.ciphers.aead
import google.protobuf.json_format, google.rpc.error_details_pb2
import grpc, grpc_health.v1.health_pb2_grpc, prometheus_client, pydantic, pydantic_settings, structlog, uvloop
async def serve():
    server = grpc.aio.server()
    server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(serve())
"""


def kibibytes(process: asyncio.subprocess.Process) -> int:
    """The memory that a process has in use."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


async def test_an_idle_gateway_takes_little_more_than_its_libraries(settings: dict[str, str]) -> None:
    bare = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", BARE_SERVER), env=clean_environment({}), stdin=PIPE, stdout=PIPE
    )
    assert bare.stdin is not None
    assert bare.stdout is not None
    try:
        async with asyncio.timeout(30), gateway_process("serve", **settings) as gateway:
            assert await bare.stdout.readline() == b"ready\n"
            await gateway.event("registry ready")
            assert kibibytes(gateway.process) <= kibibytes(bare) + MOST_MORE
    finally:
        bare.stdin.close()
        await bare.wait()
