"""Callers who do not read the blob that they have asked for, or read it slowly."""

import asyncio
import hashlib

import grpc
import pytest
from aiohttp import web

from portus.registry.v1.registry_service_pb2 import ReadBlobRequest, ReadBlobResponse
from tests.attack.processes import MEBIBYTE, peak, resident
from tests.distribution.upstream import Upstream
from tests.e2e.gateway_process import gateway_process
from tests.rpc.gateways import SERVICE

SIZE = 512 * MEBIBYTE
CHUNK = bytes(MEBIBYTE)
DIGEST = "sha256:" + hashlib.sha256(CHUNK).hexdigest()
REQUEST = ReadBlobRequest(repository="team/app", digest=DIGEST).SerializeToString()
READ_BLOB = f"/{SERVICE}/ReadBlob"
ALLOWED = 32 * MEBIBYTE


class LargeBlob:
    """A registry whose blobs have 512 MiB. It sends as fast as it is read."""

    def __init__(self) -> None:
        self.sent = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if "/blobs/" not in request.path:
            return web.json_response({}, headers={"Docker-Distribution-Api-Version": "registry/2.0"})
        response = web.StreamResponse()
        response.content_length = SIZE
        await response.prepare(request)
        for _ in range(SIZE // MEBIBYTE):
            await response.write(CHUNK)
            self.sent += MEBIBYTE
        return response


async def settled(blob: LargeBlob) -> None:
    """Waits until the registry cannot send any more."""
    sent = -1
    while sent != blob.sent:
        sent = blob.sent
        await asyncio.sleep(1)


async def message(call: "grpc.aio.UnaryStreamCall[bytes, bytes]") -> ReadBlobResponse:
    """The next message of a stream that goes on."""
    data = await call.read()
    assert isinstance(data, bytes)
    return ReadBlobResponse.FromString(data)


@pytest.mark.parametrize("kind", ["unread", "slowly read"])
async def test_a_blob_takes_little_memory_however_slowly_it_is_read(kind: str) -> None:
    blob = LargeBlob()
    async with Upstream() as registry:
        registry.script(blob)
        settings = {"PORTUS_REGISTRY_URL": registry.url, "PORTUS_REGISTRY_ANONYMOUS": "true"}
        async with (
            gateway_process("serve", **settings) as gateway,
            grpc.aio.insecure_channel(gateway.address) as channel,
        ):
            idle = resident(gateway.process.pid)
            method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(READ_BLOB)
            call = method(REQUEST, timeout=60)
            assert (await message(call)).size == SIZE
            received = 0
            if kind == "slowly read":
                while received < 64 * MEBIBYTE:
                    received += len((await message(call)).chunk)
                    await asyncio.sleep(0.005)
            else:
                await settled(blob)
            # The rest is in the buffers of the sockets, of gRPC on both sides, and of this test's registry.
            assert blob.sent - received < 64 * MEBIBYTE
            assert peak(gateway.process.pid) - idle < ALLOWED
            call.cancel()


async def test_twenty_unread_blobs_take_little_memory() -> None:
    blob = LargeBlob()
    async with Upstream() as registry:
        registry.script(blob)
        settings = {"PORTUS_REGISTRY_URL": registry.url, "PORTUS_REGISTRY_ANONYMOUS": "true"}
        async with gateway_process("serve", **settings, PORTUS_MAX_DOWNLOADS="40") as gateway:
            idle = resident(gateway.process.pid)
            async with grpc.aio.insecure_channel(gateway.address) as channel:
                method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(READ_BLOB)
                calls = [method(REQUEST, timeout=60) for _ in range(20)]
                for call in calls:
                    assert (await message(call)).size == SIZE
                await settled(blob)
                # It was 1.6 MiB each: a buffer and a chunk, and what gRPC has of it.
                assert peak(gateway.process.pid) - idle < 64 * MEBIBYTE
                for call in calls:
                    call.cancel()
