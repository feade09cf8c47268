"""The log of the real process: nobody may read it, and no secret is in it."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import BinaryIO

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from portus.registry.v1 import registry_service_pb2
from portus_gateway.devregistry import DevRegistry
from tests.e2e.gateway_process import clean_environment
from tests.e2e.test_serve import check, stub

# A log line for each failing call has some 300 bytes, and a pipe takes 64 KiB.
MORE_THAN_A_PIPE_TAKES = 1000
ENDS_WITHIN = 60.0


@asynccontextmanager
async def unread(**variables: str) -> AsyncGenerator[tuple[Process, str, BinaryIO], None]:
    """`portus-gateway serve`, its address, and the pipe that its log goes into, of which nobody reads."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    reading, writing = os.pipe()
    with open(reading, "rb") as log:  # noqa: ASYNC230
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "portus_gateway", "serve", "--listen", address),
                env=clean_environment(variables),
                stdout=DEVNULL,
                stderr=writing,
            )
        finally:
            os.close(writing)
        try:
            yield process, address, log
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def fail(channel: grpc.aio.Channel, token: str = "caller-t0ken") -> None:
    request = registry_service_pb2.ListTagsRequest(repository="team/none")
    metadata = (("x-request-id", "x" * 128), ("authorization", f"Bearer {token}"))
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub(channel).ListTags(request, timeout=30, metadata=metadata, wait_for_ready=True)
    assert failed.value.code() == grpc.StatusCode.NOT_FOUND


async def test_a_log_that_nobody_reads_blocks_neither_calls_nor_health_nor_shutdown(settings: dict[str, str]) -> None:
    async with unread(**settings) as (process, address, _), grpc.aio.insecure_channel(address) as channel:
        await fail(channel)
        for _ in range(MORE_THAN_A_PIPE_TAKES // 50):
            await asyncio.gather(*(fail(channel) for _ in range(50)))
        assert (await check(channel)(HealthCheckRequest(), timeout=10)).status == HealthCheckResponse.SERVING
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), ENDS_WITHIN) == 0


@pytest.mark.parametrize("form", ["human", "json"])
async def test_no_secret_gets_into_the_log_in_either_format(
    registry: DevRegistry, settings: dict[str, str], form: str
) -> None:
    variables = settings | {"PORTUS_LOG_FORMAT": form, "PORTUS_LOG_LEVEL": "debug"}
    async with unread(**variables) as (process, address, log), grpc.aio.insecure_channel(address) as channel:
        await fail(channel)
        process.send_signal(signal.SIGTERM)
        written = await asyncio.wait_for(asyncio.to_thread(log.read), ENDS_WITHIN)
    text = written.decode()
    assert "ListTags" in text
    assert "stopped" in text
    for secret in (registry.password, "eyJ", "caller-t0ken"):
        assert secret not in text
