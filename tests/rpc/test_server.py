import asyncio

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import GetManifestRequest, ListTagsRequest
from portus_gateway.devregistry import DevRegistry, raw_manifest
from portus_gateway.distribution.manifest import OCI_MANIFEST
from portus_gateway.operations.guarded_deletion import GuardedDeletion
from portus_gateway.registry.protocol import Registry
from portus_gateway.rpc.server import GatewayServer, ServerLimits
from tests.clients.python.certificates import Authority
from tests.rpc.gateways import MESSAGES, REQUESTS, SERVICE, VERSION, Calls, connected, finish, serve, serve_over, soon
from tests.rpc.scripted_registry import Gate, ScriptedRegistry

MEBIBYTE = 1024 * 1024
GET_MANIFEST = GetManifestRequest(repository="team/app", tag="large")


def server_on(
    listen: str, registry: Registry | None = None, *, credentials: grpc.ServerCredentials | None = None
) -> GatewayServer:
    registry = registry or ScriptedRegistry()
    return GatewayServer(
        registry=registry,
        deletion=GuardedDeletion(registry, enabled=True, concurrency=1),
        listen=listen,
        limits=ServerLimits(),
        deletion_enabled=True,
        observer=Calls(),
        gateway_version=VERSION,
        credentials=credentials,
    )


async def test_a_port_that_is_taken_is_an_error() -> None:
    async with serve(ScriptedRegistry()) as gateway:
        second = server_on(gateway.address)
        with pytest.raises(OSError, match=f"cannot listen on {gateway.address}: the address is in use"):
            await second.start()
        # The first one is not disturbed.
        assert await finish(gateway.channel, "ListTags")


@pytest.mark.parametrize(
    ("listen", "why"),
    [
        ("192.0.2.1:0", "this machine does not have the address"),
        ("no-such-host.invalid:0", "the host name cannot be resolved"),
        ("127.0.0.1:not-a-port", "the address is in use, is not one"),
    ],
)
async def test_an_address_that_cannot_be_listened_on_is_an_error(listen: str, why: str) -> None:
    with pytest.raises(OSError, match=f"cannot listen on {listen}: {why}"):
        await server_on(listen).start()


async def test_every_rpc_is_served() -> None:
    for rpc in REQUESTS:
        # Each has a registry of its own, because a delete leaves nothing for the others.
        async with serve(ScriptedRegistry()) as gateway:
            assert len(await finish(gateway.channel, rpc)) == MESSAGES.get(rpc, 1), rpc
            assert [call.code for call in gateway.calls.finished] == [grpc.StatusCode.OK], rpc


async def test_tls() -> None:
    authority = Authority()
    pair = authority.issue("localhost")
    server = server_on("127.0.0.1:0", credentials=grpc.ssl_server_credentials([(pair.key, pair.certificate)]))
    port = await server.start()
    channel_credentials = grpc.ssl_channel_credentials(authority.pem)
    async with grpc.aio.secure_channel(f"localhost:{port}", channel_credentials) as channel:
        assert await finish(channel, "ListTags")
    async with connected(port) as plaintext:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await finish(plaintext, "ListTags")
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    await server.drain(1)


# --- Sizes ------------------------------------------------------------------------------------------------------


def manifest_of(size: int) -> bytes:
    """A manifest of that many bytes, most of them an annotation."""
    frame = '{"schemaVersion": 2, "annotations": {"padding": "%s"}}'
    return (frame % ("x" * (size - len(frame) + 2))).encode()


@pytest.mark.parametrize("size", [4 * MEBIBYTE, 6 * MEBIBYTE])
async def test_a_large_manifest_reaches_a_client_that_allows_large_messages(registry: DevRegistry, size: int) -> None:
    registry.push("team/app", "large", content=raw_manifest(manifest_of(size), OCI_MANIFEST))
    async with serve_over(registry, limits=ServerLimits(max_manifest_bytes=size)) as gateway:
        answer = await gateway.stub.GetManifest(GET_MANIFEST, timeout=20)
        assert len(answer.manifest.raw) == size
        assert len(answer.manifest.image.annotations["padding"]) > size - 100
        # gRPC's own default in every language: nothing that the gateway could do about it.
        async with connected(gateway.port) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await finish(channel, "GetManifest", GET_MANIFEST)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_request_larger_than_any_good_one_is_refused() -> None:
    registry = ScriptedRegistry()
    async with serve(registry) as gateway:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await finish(gateway.channel, "ListTags", ListTagsRequest(repository="x" * (MEBIBYTE + 1)))
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert registry.asked == []


async def test_metadata_larger_than_any_good_one_is_refused() -> None:
    registry = ScriptedRegistry()
    async with serve(registry) as gateway:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            # As close to the limit of 16 KiB that each of gRPC's own limits would let it through.
            await finish(gateway.channel, "ListTags", metadata=(("padding", "x" * 17_000),))
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert registry.asked == []


async def test_metadata_within_the_limit_is_always_accepted() -> None:
    async with serve(ScriptedRegistry()) as gateway:
        # With gRPC's own limits, about nine of ten of these would be refused.
        for _ in range(20):
            assert await finish(gateway.channel, "ListTags", metadata=(("padding", "x" * 15_000),))


# --- Connections ------------------------------------------------------------------------------------------------


async def test_an_old_connection_is_asked_to_go_and_its_calls_are_finished() -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(gate), limits=ServerLimits(max_connection_age=0.2)) as gateway:
        call = asyncio.ensure_future(finish(gateway.channel, "ListTags"))
        await soon(gate.entered.wait())
        await soon(gateway.channel.wait_for_state_change(grpc.ChannelConnectivity.READY))
        gate.open.set()
        assert await soon(call)
        # And whoever comes again is served, over another connection.
        assert await finish(gateway.channel, "ListTags")
        peers = {finished.peer for finished in gateway.calls.finished}
    assert len(peers) == 2


async def test_a_connection_that_is_not_old_stays() -> None:
    async with serve(ScriptedRegistry()) as gateway:
        for _ in range(3):
            await finish(gateway.channel, "ListTags")
        assert len({finished.peer for finished in gateway.calls.finished}) == 1
        assert gateway.calls.finished[0].method == f"/{SERVICE}/ListTags"
