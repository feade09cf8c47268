"""Somebody opens connections without end: others are served all the same."""

import asyncio
from contextlib import suppress

import pytest

from portus.registry.v1.registry_service_pb2 import ListTagsRequest
from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from portus_gateway.rpc import connection_guard, server
from tests.rpc.gateways import connected, serve
from tests.rpc.scripted_registry import ScriptedRegistry

MOST = 200
TAGS = ListTagsRequest(repository="team/app")


async def flood(port: int, ready: asyncio.Event) -> None:
    """Opens connections that say nothing, and holds them."""
    opened = []
    try:
        while True:
            with suppress(OSError):
                opened.append(await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0)))
            if len(opened) > MOST:
                ready.set()
            # Those that the gateway has closed are kept as well, until there are very many.
            await asyncio.sleep(0.001 if len(opened) < 10 * MOST else 60)
    finally:
        for _, writer in opened:
            writer.close()


async def test_a_flood_of_connections_from_one_address_keeps_no_other_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_MOST_CONNECTIONS", MOST)
    monkeypatch.setattr(connection_guard, "_INTERVAL", 0.02)
    async with serve(ScriptedRegistry()) as gateway:
        await gateway.stub.ListTags(TAGS, timeout=5)
        ready = asyncio.Event()
        flooding = asyncio.create_task(flood(gateway.port, ready))
        await ready.wait()
        for _ in range(5):
            async with connected(gateway.port) as channel:
                await RegistryServiceStub(channel).ListTags(TAGS, timeout=5, wait_for_ready=True)
        # The connection from before is still there.
        await gateway.stub.ListTags(TAGS, timeout=5)
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
