"""Blobs, over each registry."""

from typing import TYPE_CHECKING

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import ReadBlobRequest, ReadBlobResponse
from portus_gateway.devregistry import image
from tests.real.gateways import failure_of
from tests.real.image_tools import ImageTools

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def read(gateway: "RegistryServiceAsyncStub", request: ReadBlobRequest) -> tuple[int, bytes]:
    """The size and the bytes."""
    messages: list[ReadBlobResponse] = [message async for message in gateway.ReadBlob(request)]
    return messages[0].size, b"".join(message.chunk for message in messages)


async def test_a_layer_is_read_whole_and_in_parts(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    content = image(repository, layers=1, layer_size=100_000)
    await images.push(repository, "1.0", content=content)
    for digest, data in content.blobs.items():
        size = len(data)
        assert await read(gateway, ReadBlobRequest(repository=repository, digest=digest)) == (size, data)
        for offset, limit in ((0, 10), (1, 0), (5, 7), (size - 1, 100), (size, 0), (size, 10)):
            request = ReadBlobRequest(repository=repository, digest=digest, offset=offset, limit=limit)
            assert await read(gateway, request) == (size, data[offset : offset + limit if limit else None])
        request = ReadBlobRequest(repository=repository, digest=digest, offset=size + 1)
        failure = await failure_of(read(gateway, request))
        assert failure.kind == (grpc.StatusCode.OUT_OF_RANGE, "RANGE_INVALID")


async def test_a_blob_that_does_not_exist(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    await images.push(repository, "1.0", content=image(repository))
    request = ReadBlobRequest(repository=repository, digest=f"sha256:{'0' * 64}")
    failure = await failure_of(read(gateway, request))
    assert failure.kind == (grpc.StatusCode.NOT_FOUND, "BLOB_UNKNOWN")
