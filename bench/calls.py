"""The requests that the bench makes, and single calls where no load is wanted."""

import asyncio
from collections.abc import Sequence
from typing import Final

import grpc
from google.protobuf.duration_pb2 import Duration

from bench.load import Load
from bench.servers import Server
from portus.registry.v1 import registry_service_pb2 as proto

_SERVICE: Final = "/portus.registry.v1.RegistryService/"
GET_MANIFEST: Final = f"{_SERVICE}GetManifest"
BATCH_GET_MANIFESTS: Final = f"{_SERVICE}BatchGetManifests"
BATCH_DELETE_MANIFESTS: Final = f"{_SERVICE}BatchDeleteManifests"
DELETE_MANIFEST: Final = f"{_SERVICE}DeleteManifest"
CATALOG: Final = f"{_SERVICE}Catalog"
FIND_TAGS: Final = f"{_SERVICE}FindTags"
LIST_TAGS: Final = f"{_SERVICE}ListTags"
READ_BLOB: Final = f"{_SERVICE}ReadBlob"
STREAM_CATALOG: Final = f"{_SERVICE}StreamCatalog"

_GET_REGISTRY_INFO: Final = f"{_SERVICE}GetRegistryInfo"
WATCH_EVENTS: Final = f"{_SERVICE}WatchEvents"

ANY_AGE: Final = Duration(seconds=24 * 3600)
"""So stale that whatever is in the cache or in the index will do."""
_PAUSE: Final = 0.1


def get_manifest(repository: str, tag: str, *, cached: bool) -> proto.GetManifestRequest:
    """A request for a tag; unless `cached`, the answer has to be checked with the registry."""
    return proto.GetManifestRequest(repository=repository, tag=tag, max_staleness=ANY_AGE if cached else None)


def channel(server: Server) -> grpc.aio.Channel:
    """A connection of its own to a gateway."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.aio.insecure_channel(server.address, options=options)


def metadata(server: Server) -> tuple[tuple[str, str], ...]:
    """The caller's token, if the gateway wants one."""
    return (("authorization", f"Bearer {server.token}"),) if server.token else ()


def load_on(
    server: Server, method: str, requests: Sequence[bytes], *, callers: int, seconds: float, streaming: bool = False
) -> Load:
    """A load of `requests` on a server of the bench, whose CPU is measured meanwhile."""
    return Load(
        target=server.address,
        method=method,
        requests=Load.of(requests),
        token=server.token,
        streaming=streaming,
        callers=callers,
        seconds=seconds,
        server=server.pid,
    )


async def index_ready(gateway: Server) -> None:
    """Returns when the gateway's index has read the whole registry."""
    async with channel(gateway) as connection:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = connection.unary_unary(_GET_REGISTRY_INFO)
        while True:
            answer = await call(b"", metadata=metadata(gateway))
            if proto.GetRegistryInfoResponse.FromString(answer).index.state == proto.IndexStatus.READY:
                return
            await asyncio.sleep(_PAUSE)


async def answer_of(server: Server, request: bytes) -> bytes:
    """What GetManifest answers, as it comes over the wire."""
    async with channel(server) as connection:
        return await answer_on(connection, server, request)


async def answer_on(connection: grpc.aio.Channel, server: Server, request: bytes) -> bytes:
    """The same, on a connection to `server` that is there already."""
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = connection.unary_unary(GET_MANIFEST)
    return await call(request, metadata=metadata(server))
