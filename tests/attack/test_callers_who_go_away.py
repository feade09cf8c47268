"""Callers who go away before their answer is sent leave no noise in the log."""

import asyncio

import pytest

from portus.registry.v1.registry_service_pb2 import GetManifestRequest
from portus_gateway.devregistry import DevRegistry
from tests.attack.images import push_large
from tests.attack.raw_http2 import RST_STREAM, RawConnection
from tests.e2e.gateway_process import GatewayProcess, gateway_process
from tests.rpc.gateways import SERVICE

GET_MANIFEST = f"/{SERVICE}/GetManifest"


async def answered(gateway: GatewayProcess, count: int) -> None:
    """Waits until the gateway has the answers to that many calls, whether they are read or not."""
    async with asyncio.timeout(10):
        while sum('"event": "call"' in entry and '"code": "OK"' in entry for entry in gateway.log) < count:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("ending", ["the connection closes", "the call is reset"])
async def test_an_answer_that_cannot_be_sent_is_no_traceback(
    registry: DevRegistry, settings: dict[str, str], ending: str
) -> None:
    push_large(registry, "team/large", "v1")
    request = GetManifestRequest(repository="team/large", tag="v1").SerializeToString()
    async with gateway_process("serve", **settings, PORTUS_LOG_LEVEL="debug") as gateway:
        for number in range(5):
            async with RawConnection.open(gateway.address, window=0) as connection:
                stream = await connection.call(GET_MANIFEST, request)
                await answered(gateway, number + 1)
                if ending == "the call is reset":
                    connection.send(RST_STREAM, 0, stream, b"\0\0\0\x08")
                    await connection.sent()
        # The gateway has seen the end of the last one when it answers another.
        async with RawConnection.open(gateway.address, window=65_535) as connection:
            await connection.call("/grpc.health.v1.Health/Check", b"")
            async for frame in connection.frames():
                if b"grpc-status" in frame.payload:
                    break
        await asyncio.sleep(0.2)
    assert "Traceback" not in "".join(gateway.log)
    assert "ExecuteBatchError" not in "".join(gateway.log)
