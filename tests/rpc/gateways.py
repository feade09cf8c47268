"""Gateways on a free port, and clients of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import grpc
from google.protobuf.message import Message

from portus.registry.v1.registry_service_pb2 import (
    BatchDeleteManifestsRequest,
    BatchGetImageConfigsRequest,
    BatchGetManifestsRequest,
    BatchResolveManifestsRequest,
    CatalogRequest,
    DeleteBlobRequest,
    DeleteManifestRequest,
    DeleteTagRequest,
    GetImageConfigRequest,
    GetManifestRequest,
    GetRegistryInfoRequest,
    ListReferrersRequest,
    ListTagsRequest,
    ListTagsResponse,
    ReadBlobRequest,
    ResolveManifestRequest,
    StreamCatalogRequest,
)
from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from portus_gateway.access.page_token_keys import SecretKey
from portus_gateway.devregistry import DevRegistry
from portus_gateway.distribution import (
    Configuration,
    Credentials,
    DistributionClient,
    RetryPolicy,
    StaticPassword,
    Timeouts,
)
from portus_gateway.operations.guarded_deletion import GuardedDeletion
from portus_gateway.registry.protocol import Registry
from portus_gateway.rpc.boundary import Boundary
from portus_gateway.rpc.call_limit import CallLimit
from portus_gateway.rpc.call_tracing import CallTracer
from portus_gateway.rpc.interception import InterceptedHandlers, Interceptor
from portus_gateway.rpc.page_tokens import PageTokens
from portus_gateway.rpc.server import FinishedCall, GatewayServer, ServerLimits
from tests.rpc.scripted_registry import BLOB, DIGEST

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

SERVICE = "portus.registry.v1.RegistryService"
VERSION = "1.2.3"
KEY = SecretKey(b"the gateways of these tests are replicas of one")
LIMITS = ServerLimits()
PATIENCE = 10.0
"""Seconds after which a test that waits has failed."""

REQUESTS: dict[str, Message] = {
    "GetRegistryInfo": GetRegistryInfoRequest(),
    "Catalog": CatalogRequest(),
    "StreamCatalog": StreamCatalogRequest(),
    "ListTags": ListTagsRequest(repository="team/app"),
    "ResolveManifest": ResolveManifestRequest(repository="team/app", tag="1.0"),
    "BatchResolveManifests": BatchResolveManifestsRequest(
        requests=[ResolveManifestRequest(repository="team/app", tag="1.0")]
    ),
    "GetManifest": GetManifestRequest(repository="team/app", tag="1.0"),
    "BatchGetManifests": BatchGetManifestsRequest(requests=[GetManifestRequest(repository="team/app", tag="1.0")]),
    "GetImageConfig": GetImageConfigRequest(repository="team/app", tag="1.0"),
    "BatchGetImageConfigs": BatchGetImageConfigsRequest(
        requests=[GetImageConfigRequest(repository="team/app", tag="1.0")]
    ),
    "ListReferrers": ListReferrersRequest(repository="team/app", digest=DIGEST.text),
    "ReadBlob": ReadBlobRequest(repository="team/app", digest=BLOB.text),
    "DeleteTag": DeleteTagRequest(repository="team/app", tag="1.0", validate_only=True),
    "DeleteManifest": DeleteManifestRequest(repository="team/app", digest=DIGEST.text, force=True),
    "BatchDeleteManifests": BatchDeleteManifestsRequest(
        repository="team/app", requests=[DeleteManifestRequest(digest=DIGEST.text, force=True)]
    ),
    "DeleteBlob": DeleteBlobRequest(repository="team/app", digest=BLOB.text),
}
"""A good request for each RPC."""
MESSAGES = {"ReadBlob": 4}
"""How many messages the response has, if it is not one."""
SINGLE = [name for name in REQUESTS if not name.startswith("Batch")]
"""The RPCs that have one outcome."""
FAILING = [name for name in SINGLE if name != "GetRegistryInfo"]
"""The RPCs that fail when the registry does."""

Result = TypeVar("Result")


@dataclass
class Calls:
    """An observer that keeps all calls that it sees."""

    started: list[str] = field(default_factory=list)
    finished: list[FinishedCall] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at the end of each call."""
    at_end: Callable[[], None] = lambda: None
    """Is called at the end of each call."""
    _started: asyncio.Event = field(default_factory=asyncio.Event)

    async def came_in(self, count: int) -> None:
        """Waits for that many calls to have come in."""
        while len(self.started) < count:
            self._started.clear()
            await self._started.wait()

    def call_started(self, method: str) -> None:
        self.started.append(method)
        self._started.set()

    def call_finished(self, call: FinishedCall) -> None:
        self.finished.append(call)
        self.at_end()
        self.ended.set()


@dataclass(frozen=True, slots=True)
class Gateway:
    server: GatewayServer
    port: int
    channel: grpc.aio.Channel
    stub: "RegistryServiceAsyncStub"
    calls: Calls

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def serve(
    registry: Registry,
    *,
    limits: ServerLimits = LIMITS,
    deletion_enabled: bool = True,
    emulate_tag_deletion: bool = False,
    interceptors: Sequence[Interceptor] = (),
    tracer: CallTracer | None = None,
    reflection: bool = True,
    receive_limit: int = 4 * 1024 * 1024,
) -> AsyncIterator[Gateway]:
    """A gateway over `registry`, and a channel to it with gRPC's own defaults."""
    calls = Calls()
    server = GatewayServer(
        registry=registry,
        listen="127.0.0.1:0",
        limits=limits,
        deletion=GuardedDeletion(
            registry,
            deletion_enabled,
            limits.max_upstream_requests,
            emulate_tag_deletion=emulate_tag_deletion,
        ),
        deletion_enabled=deletion_enabled,
        observer=calls,
        gateway_version=VERSION,
        reflection=reflection,
        interceptors=interceptors,
        tracer=tracer,
        page_tokens=PageTokens(KEY),
    )
    port = await server.start()
    try:
        async with connected(port, receive_limit=receive_limit) as channel:
            yield Gateway(server, port, channel, RegistryServiceStub(channel), calls)
    finally:
        await server.drain(0.2)


@asynccontextmanager
async def connected(port: int, *, receive_limit: int = 4 * 1024 * 1024) -> AsyncIterator[grpc.aio.Channel]:
    """A channel with a connection of its own."""
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", receive_limit))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        yield channel


@asynccontextmanager
async def serve_over(
    registry: DevRegistry,
    *,
    limits: ServerLimits = LIMITS,
    deletion_enabled: bool = True,
    emulate_tag_deletion: bool = False,
) -> AsyncIterator[Gateway]:
    """A gateway over the Distribution client and `registry`, which is asked once and not again."""
    configuration = Configuration(
        url=registry.url,
        credentials=Credentials(registry.username, StaticPassword(registry.password)),
        token_realm=registry.realm,
        timeouts=Timeouts(connect=2, read=5, total=5, delete=5),
        retries=RetryPolicy(attempts=1),
        manifest_limit=limits.max_manifest_bytes,
    )
    async with (
        DistributionClient(configuration) as client,
        serve(
            client,
            limits=limits,
            deletion_enabled=deletion_enabled,
            emulate_tag_deletion=emulate_tag_deletion,
            receive_limit=-1,
        ) as gateway,
    ):
        yield gateway


@asynccontextmanager
async def serve_behaviour(
    behaviour: Callable[[ListTagsRequest, grpc.aio.ServicerContext[bytes, bytes]], Awaitable[ListTagsResponse]],
    *,
    service: str = SERVICE,
) -> AsyncIterator[tuple[Boundary, Calls, grpc.aio.Channel]]:
    """A server whose only method is `ListTags` of `service`, and does what `behaviour` does inside of the boundary."""
    handler = grpc.unary_unary_rpc_method_handler(
        behaviour, ListTagsRequest.FromString, ListTagsResponse.SerializeToString
    )
    async with serve_handler(handler, service) as served:
        yield served


@asynccontextmanager
async def serve_handler(
    handler: "grpc.RpcMethodHandler[ListTagsRequest, Message]", service: str
) -> AsyncIterator[tuple[Boundary, Calls, grpc.aio.Channel]]:
    """A server whose only method is `ListTags` of `service`."""
    calls = Calls()
    boundary = Boundary(limits=ServerLimits(), call_limit=CallLimit(1), observer=calls)
    services = [grpc.method_handlers_generic_handler(service, {"ListTags": handler})]
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((InterceptedHandlers(services, boundary),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with connected(port) as channel:
            yield boundary, calls, channel
    finally:
        await server.stop(0)


async def finish(
    channel: grpc.aio.Channel,
    rpc: str,
    request: Message | bytes | None = None,
    *,
    metadata: tuple[tuple[str, str], ...] = (),
    timeout: float | None = PATIENCE,  # noqa: ASYNC109 - the call's own deadline
) -> list[bytes]:
    """Calls any RPC of the service, to its end; without `request`, with a good one."""
    chosen = REQUESTS[rpc] if request is None else request
    serialized = chosen if isinstance(chosen, bytes) else chosen.SerializeToString()
    call = channel.unary_stream(f"/{SERVICE}/{rpc}", _as_it_is, _as_it_is)(
        serialized, metadata=grpc.aio.Metadata(*metadata), timeout=timeout
    )
    try:
        return [response async for response in call]
    finally:
        # A task that is cancelled while its request goes out does not always cancel its call (grpcio 1.83).
        call.cancel()


async def soon(awaitable: Awaitable[Result]) -> Result:
    """The result, which has to be there before long."""
    return await asyncio.wait_for(awaitable, PATIENCE)


def _as_it_is(content: bytes) -> bytes:
    return content
