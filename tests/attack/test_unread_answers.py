"""Callers who do not read what they have asked for."""

import asyncio
from pathlib import Path

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import (
    BatchGetManifestsRequest,
    GetManifestRequest,
    ListTagsRequest,
)
from portus_gateway.devregistry import DevRegistry
from tests.access.policies import TEAM_A
from tests.access.test_token_file import line
from tests.attack.images import push_large
from tests.attack.processes import MEBIBYTE, resident
from tests.attack.raw_http2 import RST_STREAM, RawConnection
from tests.e2e.gateway_process import GatewayProcess, gateway_process
from tests.rpc.failures import Failure, reported_by
from tests.rpc.gateways import SERVICE

GET_MANIFEST = f"/{SERVICE}/GetManifest"
SECRETS = ("a", "root")


def bearer(name: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer secret-{name}")]


@pytest.fixture
def protected(settings: dict[str, str], tmp_path: Path) -> dict[str, str]:
    (tmp_path / "tokens").write_text("".join(line(name, f"secret-{name}") for name in SECRETS))
    (tmp_path / "policy.toml").write_text(TEAM_A)
    return {
        **settings,
        "PORTUS_CALLER_TOKEN_FILE": str(tmp_path / "tokens"),
        "PORTUS_POLICY_FILE": str(tmp_path / "policy.toml"),
        "PORTUS_LOG_LEVEL": "debug",
    }


def large(registry: DevRegistry, count: int) -> list[GetManifestRequest]:
    """Requests for that many large manifests."""
    for number in range(count):
        push_large(registry, "team-a/large", f"v{number}")
    requests = [GetManifestRequest(repository="team-a/large", tag=f"v{number}") for number in range(count)]
    for request in requests:
        request.max_staleness.seconds = 3600
    return requests


async def call(gateway: GatewayProcess, name: str, request: ListTagsRequest) -> Failure | None:
    """How a call of somebody who reads ends; None if well."""
    async with grpc.aio.insecure_channel(gateway.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/ListTags")
        try:
            await method(request.SerializeToString(), metadata=bearer(name), timeout=10)
        except grpc.aio.AioRpcError as error:
            return reported_by(error)
    return None


LIST_TAGS = ListTagsRequest(repository="team-a/large")


async def quiet(gateway: GatewayProcess) -> None:
    """Waits until the gateway has nothing more to say about calls."""
    count = -1
    while count != len(gateway.log):
        count = len(gateway.log)
        await asyncio.sleep(1)


@pytest.mark.parametrize("kind", ["one cached manifest", "many manifests"])
async def test_unread_manifests_take_no_more_memory_than_they_may(
    registry: DevRegistry, protected: dict[str, str], kind: str
) -> None:
    requests = large(registry, 1 if kind == "one cached manifest" else 40)
    async with gateway_process("serve", **protected, PORTUS_MAX_UNREAD_BYTES=str(64 * MEBIBYTE)) as gateway:
        before = resident(gateway.process.pid)
        async with RawConnection.open(gateway.address, window=0) as connection:
            for number in range(1200):
                await connection.call(
                    GET_MANIFEST, requests[number % len(requests)].SerializeToString(), metadata=bearer("a")
                )
            await quiet(gateway)
            # The cache takes up to 64 MiB, and about as much what is made of its manifests.
            assert resident(gateway.process.pid) - before < 300 * MEBIBYTE


async def test_unread_batches_take_no_more_memory_than_they_may(
    registry: DevRegistry, protected: dict[str, str]
) -> None:
    requests = large(registry, 40)
    batch = BatchGetManifestsRequest(requests=requests * 10).SerializeToString()
    async with gateway_process("serve", **protected, PORTUS_MAX_UNREAD_BYTES=str(64 * MEBIBYTE)) as gateway:
        before = resident(gateway.process.pid)
        async with RawConnection.open(gateway.address, window=0) as connection:
            for _ in range(60):
                await connection.call(f"/{SERVICE}/BatchGetManifests", batch, metadata=bearer("a"))
            await quiet(gateway)
            assert resident(gateway.process.pid) - before < 400 * MEBIBYTE


async def ends(connection: RawConnection) -> None:
    """Waits for the gateway to close the connection."""
    async for _ in connection.frames():
        pass


async def test_a_call_takes_its_callers_place_until_its_answer_has_been_read(
    registry: DevRegistry, protected: dict[str, str]
) -> None:
    registry.push("team-a/large", "1.0")
    async with (
        gateway_process("serve", **protected, PORTUS_CALLER_CONCURRENCY="4") as gateway,
        RawConnection.open(gateway.address, window=0) as connection,
    ):
        streams = [
            await connection.call(f"/{SERVICE}/ListTags", LIST_TAGS.SerializeToString(), metadata=bearer("a"))
            for _ in range(8)
        ]
        await quiet(gateway)
        # Four have their answer, which nobody reads; the others were refused.
        assert sum('"reason": "CALLER_CONCURRENCY_EXCEEDED"' in entry for entry in gateway.log) == 4
        failure = await call(gateway, "a", LIST_TAGS)
        assert failure is not None
        assert failure.outcome == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CALLER_CONCURRENCY_EXCEEDED")
        assert await call(gateway, "root", LIST_TAGS) is None
        for stream in streams:
            connection.send(RST_STREAM, 0, stream, b"\0\0\0\x08")
        await connection.sent()
        async with asyncio.timeout(10):
            while await call(gateway, "a", LIST_TAGS) is not None:
                pass


async def test_a_call_takes_its_place_in_the_gateway_until_its_answer_has_been_read(
    registry: DevRegistry, protected: dict[str, str]
) -> None:
    registry.push("team-a/large", "1.0")
    async with gateway_process("serve", **protected, PORTUS_MAX_CONCURRENT_CALLS="3") as gateway:
        async with RawConnection.open(gateway.address, window=0) as connection:
            for _ in range(8):
                await connection.call(f"/{SERVICE}/ListTags", LIST_TAGS.SerializeToString(), metadata=bearer("a"))
            await quiet(gateway)
            failure = await call(gateway, "root", LIST_TAGS)
            assert failure is not None
            assert failure.outcome == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
        async with asyncio.timeout(10):
            while await call(gateway, "root", LIST_TAGS) is not None:
                pass


async def test_a_caller_cannot_take_all_streams_nor_all_calls(registry: DevRegistry, protected: dict[str, str]) -> None:
    """Without `PORTUS_CALLER_CONCURRENCY`, and with as many connections as it likes."""
    registry.push_many(f"team-a/{number:06}" for number in range(20_000))
    async with (
        gateway_process("serve", **protected) as gateway,
        RawConnection.open(gateway.address, window=0) as one,
        RawConnection.open(gateway.address, window=0) as two,
        RawConnection.open(gateway.address, window=0) as three,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(f"/{SERVICE}/StreamCatalog")
        for connection in (one, two, three):
            for rpc, request, count in (
                ("StreamCatalog", b"", 25),
                ("ListTags", ListTagsRequest(repository="team-a/000000").SerializeToString(), 75),
            ):
                for _ in range(count):
                    await connection.call(f"/{SERVICE}/{rpc}", request, metadata=bearer("a"))
        await quiet(gateway)
        refused = sum('"reason": "TOO_MANY_CALLS"' in entry for entry in gateway.log)
        assert refused >= 300 - 192
        # Others are served all the same.
        assert await call(gateway, "root", ListTagsRequest(repository="team-a/000000")) is None
        for _ in range(15):
            assert await asyncio.wait_for(stream(b"", metadata=bearer("root")).read(), 10)


@pytest.mark.parametrize("rpc", ["ListTags", "GetManifest", "BatchGetManifests"])
async def test_an_unread_call_ends_at_the_time_limit(
    registry: DevRegistry, protected: dict[str, str], rpc: str
) -> None:
    (request,) = large(registry, 1)
    requests = {
        "ListTags": LIST_TAGS,
        "GetManifest": request,
        "BatchGetManifests": BatchGetManifestsRequest(requests=[request] * 4),
    }
    limits = {"PORTUS_MAX_CALL_DURATION": "1", "PORTUS_MAX_STREAM_DURATION": "1", "PORTUS_CALLER_CONCURRENCY": "1"}
    async with gateway_process("serve", **protected, **limits) as gateway:
        before = resident(gateway.process.pid)
        async with RawConnection.open(gateway.address, window=0) as connection:
            await connection.call(f"/{SERVICE}/{rpc}", requests[rpc].SerializeToString(), metadata=bearer("a"))
            async with asyncio.timeout(10):
                await ends(connection)
        # Its place is free, and so is its memory.
        async with asyncio.timeout(10):
            while await call(gateway, "a", LIST_TAGS) is not None:
                pass
        assert resident(gateway.process.pid) - before < 40 * MEBIBYTE
        closed = await gateway.event("a connection is closed, because its caller does not read its answers")
        assert str(closed["peer"]).startswith("ipv4:127.0.0.1:")
        assert "Traceback" not in "".join(gateway.log)


async def test_a_callers_own_deadline_ends_its_unread_call_and_not_its_connection(
    registry: DevRegistry, protected: dict[str, str]
) -> None:
    (request,) = large(registry, 1)
    batch = BatchGetManifestsRequest(requests=[request] * 4).SerializeToString()
    async with gateway_process("serve", **protected) as gateway:
        async with RawConnection.open(gateway.address, window=0) as connection:
            # The gateway's timer and that of gRPC pass at the same time: now one comes first, now the other.
            for number in range(20):
                deadline = ("grpc-timeout", f"{300 + 10 * number}m")
                await connection.call(f"/{SERVICE}/BatchGetManifests", batch, metadata=[*bearer("a"), deadline])
            await asyncio.sleep(1.5)
            # The connection still serves.
            stream = await connection.call(f"/{SERVICE}/ListTags", b"", metadata=bearer("a"))
            async with asyncio.timeout(10):
                async for frame in connection.frames():
                    if frame.stream == stream:
                        break
                else:
                    raise AssertionError("the connection was closed")
        assert "a connection is closed" not in "".join(gateway.log)
