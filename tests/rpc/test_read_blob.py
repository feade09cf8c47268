"""ReadBlob."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import ListTagsRequest, ReadBlobRequest, ReadBlobResponse
from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from portus_gateway.devregistry import DevRegistry, Fault
from portus_gateway.distribution import Digest, Repository
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.errors import (
    DigestMismatch,
    NotFound,
    RangeInvalid,
    RedirectRefused,
    Unreachable,
    UntrustedAnswer,
)
from portus_gateway.errors import GatewayError
from portus_gateway.registry.protocol import OpenBlob, Part
from portus_gateway.rpc import download_places
from portus_gateway.rpc.download_places import DownloadPlaces
from portus_gateway.rpc.server import ServerLimits
from tests.open_blobs import BlobInMemory
from tests.rpc.failures import failure_of
from tests.rpc.gateways import Gateway, connected, serve, soon
from tests.rpc.scripted_registry import BLOB, Gate, ScriptedRegistry, raising

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

ReadCall: TypeAlias = "grpc.aio.UnaryStreamCall[ReadBlobRequest, ReadBlobResponse]"

MIB = 1024 * 1024
CONTENT = bytes(range(256)) * 5000
DIGEST = Digest.of(CONTENT)
# More than gRPC takes from the gateway while nobody reads.
LARGE = bytes(32 * MIB)
DEADLINE = 10


class FailingBlob(BlobInMemory):
    """Fails after its bytes."""

    failure: GatewayError

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        async for chunk in super().chunks():
            yield chunk
        raise self.failure


class BlobRegistry(ScriptedRegistry):
    """Has one blob, `CONTENT`. Reading it may fail at the end."""

    def __init__(self, failure: GatewayError | None = None, content: bytes = CONTENT) -> None:
        super().__init__()
        self.content = content
        self.failure = failure
        self.opened = 0
        self.open = 0

    @asynccontextmanager
    async def open_blob(self, repository: Repository, digest: Digest, part: Part) -> AsyncGenerator[OpenBlob, None]:
        self.opened += 1
        self.open += 1
        try:
            if self.failure is None:
                yield BlobInMemory(self.content, part)
            else:
                blob = FailingBlob(self.content, part)
                object.__setattr__(blob, "failure", self.failure)
                yield blob
        finally:
            self.open -= 1


async def messages(stub: "RegistryServiceAsyncStub", request: ReadBlobRequest) -> list[ReadBlobResponse]:
    return [response async for response in stub.ReadBlob(request, timeout=DEADLINE)]


async def content(stub: "RegistryServiceAsyncStub", request: ReadBlobRequest) -> bytes:
    return b"".join(message.chunk for message in await messages(stub, request))


def request_of(digest: Digest = DIGEST, offset: int = 0, limit: int = 0) -> ReadBlobRequest:
    return ReadBlobRequest(repository="team/app", digest=digest.text, offset=offset, limit=limit)


async def test_the_first_message_has_the_size_and_the_others_the_bytes(registry: DevRegistry, gateway: Gateway) -> None:
    digest = Digest(registry.push_blob("team/app", CONTENT))
    first, *others = await messages(gateway.stub, request_of(digest))
    assert (first.HasField("size"), first.size, first.chunk) == (True, len(CONTENT), b"")
    assert b"".join(message.chunk for message in others) == CONTENT
    assert not any(message.HasField("size") for message in others)
    assert all(64 * 1024 <= len(message.chunk) <= MIB for message in others[:-1])


@pytest.mark.parametrize(
    ("offset", "limit"), [(0, 1), (1, 0), (100, 1000), (len(CONTENT) - 1, 5), (len(CONTENT), 0), (0, 2**62)]
)
async def test_a_part(registry: DevRegistry, gateway: Gateway, offset: int, limit: int) -> None:
    digest = Digest(registry.push_blob("team/app", CONTENT))
    expected = CONTENT[offset : offset + limit if limit else None]
    assert await content(gateway.stub, request_of(digest, offset, limit)) == expected


async def test_a_blob_without_bytes(registry: DevRegistry, gateway: Gateway) -> None:
    digest = Digest(registry.push_blob("team/app", b""))
    (only,) = await messages(gateway.stub, request_of(digest))
    assert (only.HasField("size"), only.size, only.chunk) == (True, 0, b"")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("no", reason="BLOB_UNKNOWN"), grpc.StatusCode.NOT_FOUND),
        (NotFound("no", reason="NAME_UNKNOWN"), grpc.StatusCode.NOT_FOUND),
        (RangeInvalid("no"), grpc.StatusCode.OUT_OF_RANGE),
        (RedirectRefused("no", concern=Concern.BLOB_ORIGINS), grpc.StatusCode.FAILED_PRECONDITION),
        (UntrustedAnswer("no"), grpc.StatusCode.DATA_LOSS),
        (Unreachable("no"), grpc.StatusCode.UNAVAILABLE),
    ],
)
async def test_a_blob_that_cannot_be_read(error: GatewayError, code: grpc.StatusCode) -> None:
    async with serve(ScriptedRegistry(raising(error))) as gateway:
        told = await failure_of(messages(gateway.stub, request_of()))
    assert told.outcome == (code, error.reason)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DigestMismatch(expected="a", actual="b"), grpc.StatusCode.DATA_LOSS),
        (Unreachable("it broke"), grpc.StatusCode.UNAVAILABLE),
    ],
)
async def test_a_failure_after_the_bytes_is_the_end_of_the_stream(error: GatewayError, code: grpc.StatusCode) -> None:
    received = b""
    async with serve(BlobRegistry(error)) as gateway:
        call = gateway.stub.ReadBlob(request_of(), timeout=DEADLINE)

        async def read() -> None:
            nonlocal received
            async for message in call:
                received += message.chunk

        told = await failure_of(read())
    assert received == CONTENT
    assert told.outcome == (code, error.reason)


async def test_damaged_content_is_told_at_the_end(registry: DevRegistry, gateway: Gateway) -> None:
    digest = Digest(registry.push_blob("team/app", CONTENT))
    with registry.inject(Fault(route="blobs", corrupt=True)):
        told = await failure_of(messages(gateway.stub, request_of(digest)))
    assert told.outcome == (grpc.StatusCode.DATA_LOSS, "DIGEST_MISMATCH")


async def test_an_absent_blob(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push("team/app", "1.0")
    told = await failure_of(messages(gateway.stub, request_of(BLOB)))
    assert told.outcome == (grpc.StatusCode.NOT_FOUND, "BLOB_UNKNOWN")
    assert told.resource == ("blob", f"team/app@{BLOB}")


async def test_a_caller_that_leaves_ends_the_read() -> None:
    registry = BlobRegistry(content=LARGE)
    async with serve(registry) as gateway:
        call = gateway.stub.ReadBlob(request_of(), timeout=DEADLINE)
        await soon(call.read())
        assert registry.open == 1
        call.cancel()
        async with asyncio.timeout(DEADLINE):
            while registry.open:
                await asyncio.sleep(0.01)


async def held(stub: "RegistryServiceAsyncStub", count: int) -> list[ReadCall]:
    """Reads that have begun and do not go on."""
    calls = [stub.ReadBlob(request_of(), timeout=DEADLINE) for _ in range(count)]
    for call in calls:
        assert await soon(call.read())
    return calls


async def test_slow_readers_leave_half_of_the_places_to_other_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DownloadPlaces, "patience", 0.2)
    async with serve(BlobRegistry(content=LARGE), limits=ServerLimits(max_downloads=4)) as gateway:
        slow = await held(gateway.stub, 2)
        told = await failure_of(messages(gateway.stub, request_of()))
        assert told.outcome == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_DOWNLOADS")
        assert told.retry_delay == 1
        assert "this caller reads 2 blobs" in told.message
        # Other RPCs of this caller, and other callers, are not affected.
        await gateway.stub.ListTags(ListTagsRequest(repository="team/app"), timeout=DEADLINE)
        async with connected(gateway.port) as channel:
            other: RegistryServiceAsyncStub = RegistryServiceStub(channel)
            assert await content(other, request_of()) == LARGE
            as_slow = await held(other, 2)
            async with connected(gateway.port) as another_channel:
                told = await failure_of(messages(RegistryServiceStub(another_channel), request_of()))
                assert "limit of 4 blobs" in told.message
            for call in as_slow:
                call.cancel()
        for call in slow:
            call.cancel()
        assert await content(gateway.stub, request_of()) == LARGE


async def test_a_reader_that_does_not_read_leaves_its_place_and_can_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_places, "_LONGEST_UNREAD", 0.2)
    monkeypatch.setattr(DownloadPlaces, "patience", 5)
    async with serve(BlobRegistry(content=LARGE), limits=ServerLimits(max_downloads=1)) as gateway:
        (unread,) = await held(gateway.stub, 1)
        async with connected(gateway.port) as channel:
            assert await content(RegistryServiceStub(channel), request_of()) == LARGE
        rest = []
        while isinstance(message := await soon(unread.read()), ReadBlobResponse):
            rest.append(message.chunk)
        assert b"".join(rest) == LARGE
        # Its place is free.
        assert await content(gateway.stub, request_of()) == LARGE


async def test_a_read_waits_for_a_place() -> None:
    async with serve(BlobRegistry(content=LARGE), limits=ServerLimits(max_downloads=2)) as gateway:
        (slow,) = await held(gateway.stub, 1)
        second = asyncio.ensure_future(content(gateway.stub, request_of()))
        await soon(gateway.calls.came_in(2))
        await asyncio.sleep(0.05)
        assert not second.done()
        slow.cancel()
        assert await soon(second) == LARGE


async def test_a_read_that_has_no_bytes_yet_ends_at_its_deadline() -> None:
    async with serve(ScriptedRegistry(Gate())) as gateway:
        call = gateway.stub.ReadBlob(request_of(), timeout=0.3)
        # gRPC may notice the deadline before the gateway's answer comes.
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
