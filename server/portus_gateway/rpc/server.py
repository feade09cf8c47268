"""The gRPC server: what listens, what it serves, and how it stops."""

import asyncio
import errno
import resource
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from portus_gateway.access.page_token_keys import SecretKey
from portus_gateway.listen_address import ListenAddress, cannot_listen
from portus_gateway.operations.catalog_listing import CatalogListing
from portus_gateway.operations.deletion import Deletion
from portus_gateway.operations.index_answers import EverythingVisible, IndexAnswers, Visibility
from portus_gateway.operations.index_search import IndexSearch
from portus_gateway.operations.watching import Watching
from portus_gateway.registry.protocol import Registry
from portus_gateway.rpc.boundary import Boundary
from portus_gateway.rpc.call_limit import CallLimit
from portus_gateway.rpc.call_tracing import CallTracer
from portus_gateway.rpc.connection_guard import ConnectionGuard
from portus_gateway.rpc.health import Health
from portus_gateway.rpc.interception import InterceptedHandlers, Interceptor
from portus_gateway.rpc.limits import ServerLimits
from portus_gateway.rpc.observation import CallObserver, FinishedCall
from portus_gateway.rpc.page_tokens import PageTokens
from portus_gateway.rpc.service_names import REGISTRY_SERVICE
from portus_gateway.rpc.servicer import RegistryServicer, registry_service

if TYPE_CHECKING:
    # Loaded only if there is an index.
    from portus_gateway.index.live_index import LiveIndex

__all__ = ["CallObserver", "FinishedCall", "GatewayServer", "ServerLimits"]

_RECEIVE_LIMIT = 1024 * 1024
_METADATA_LIMIT = 16 * 1024
# Calls of one connection at a time. A client waits with the others; a channel may open more connections.
_STREAMS_OF_CONNECTION = 100
_HANDSHAKE = 10.0
_IDLE = 300.0
_SEND_LIMIT = 16 * 1024 * 1024
# A manifest comes twice, as it is and parsed, and the parsed form may be the larger one.
_MANIFEST_FACTOR = 4
# Connections to a port, with those whose TLS handshake is not finished, which take 50 KiB each.
_MOST_CONNECTIONS = 4096
# No port may take more than this part of the file descriptors: the gateway needs some for the registry.
_PART_OF_FILES = 3
# How long new calls wait before GOAWAY is sent, in seconds. gRPC's core answers what comes after that with CANCELLED,
# which nobody retries.
_REFUSAL = 0.25
# For the core to write GOAWAY, in seconds. What is refused after that comes behind it on the same connection.
_GOAWAY = 0.05
# How much earlier than the grace's end running calls are ended, in seconds: time to tell their callers why.
_FAREWELL = 1.0


@dataclass(frozen=True, slots=True)
class Listener:
    """An address to serve on; `credentials` make it TLS."""

    address: str
    credentials: grpc.ServerCredentials | None = None


class GatewayServer:
    """Serves `registry` on `listen` (`127.0.0.1:50051`; port 0 takes a free one), with health and reflection.

    `deletion` carries out the deletes. With `credentials`, it serves TLS. `second_listener` has its own credentials.
    `interceptors` let calls in before their requests are read. With `reuse_port`, other processes of this user may
    listen on the same ports: the kernel spreads connections over them. Without `page_tokens`, no other server accepts
    the page tokens of this one.
    `index` answers where callers accept answers of some age, for what `visibility` lets them see; without `visibility`,
    every caller sees everything.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        listen: str,
        limits: ServerLimits,
        deletion_enabled: bool,
        deletion: Deletion,
        observer: CallObserver,
        gateway_version: str,
        reflection: bool = True,
        credentials: grpc.ServerCredentials | None = None,
        second_listener: Listener | None = None,
        interceptors: Sequence[Interceptor] = (),
        reuse_port: bool = False,
        page_tokens: PageTokens | None = None,
        index: "LiveIndex | None" = None,
        visibility: Visibility | None = None,
        tracer: CallTracer | None = None,
    ) -> None:
        self._limits = limits
        self._reflection = reflection
        self._reuse_port = reuse_port
        self._listener = Listener(listen, credentials)
        self._second_listener = second_listener
        self.second_port: int | None = None
        """The port of `second_listener`, once it is served."""
        self._health = Health()
        self._boundary = Boundary(
            limits=limits,
            call_limit=CallLimit(limits.max_concurrent_calls, limits.max_watches),
            observer=observer,
            interceptors=interceptors,
            tracer=tracer,
        )
        listing = CatalogListing(registry, limits.max_upstream_requests)
        self._servicer = RegistryServicer(
            registry=registry,
            listing=listing,
            answers=IndexAnswers(index, visibility or EverythingVisible(), listing),
            watching=Watching(index, visibility or EverythingVisible()),
            search=IndexSearch(index, visibility or EverythingVisible()),
            deletion=deletion,
            deletion_enabled=deletion_enabled,
            limits=limits,
            gateway_version=gateway_version,
            page_tokens=page_tokens or PageTokens(SecretKey.random()),
        )
        self._server: grpc.aio.Server | None = None
        self._stopping: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listens and serves. Returns the port. Raises `OSError` if it cannot listen there."""
        server = grpc.aio.server(options=_options(self._limits, self._reuse_port))
        services = [registry_service(self._servicer), self._health.service()]
        if self._reflection:
            # Imported where it is used, because it loads descriptors of its own.
            from portus_gateway.rpc.reflection import reflection

            services += reflection()
        server.add_generic_rpc_handlers((InterceptedHandlers(services, self._boundary),))
        port = _listen(server, self._listener)
        if self._second_listener is not None:
            self.second_port = _listen(server, self._second_listener)
        ports = [port] if self.second_port is None else [port, self.second_port]
        self._boundary.listens_on(ports)
        await server.start()
        self._server = server
        guard = ConnectionGuard(_most_connections(), self._boundary.busy_peers)
        self._guarding = asyncio.create_task(guard.run(ports))
        return port

    def set_registry_serving(self, serving: bool) -> None:
        """Sets the health of the RegistryService: whether the registry answers. It begins as not serving."""
        self._health.set_serving(REGISTRY_SERVICE, serving)

    async def drain(self, grace: float) -> None:
        """Stops: new calls are refused, running ones get `grace` seconds to finish.

        Health says NOT_SERVING at once, its watchers and reflection are ended. Calls that are still running just before
        the end of the grace are answered UNAVAILABLE, SHUTTING_DOWN.
        """
        if self._server is None:
            return
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(self._server, grace))
        await asyncio.shield(self._stopping)

    async def wait(self) -> None:
        """Returns when the server has stopped."""
        if self._server is not None:
            await self._server.wait_for_termination()

    async def _stop(self, server: grpc.aio.Server, grace: float) -> None:
        self._health.drain()
        self._boundary.drain()
        self._servicer.drain()
        loop = asyncio.get_running_loop()
        farewell, refusal = min(_FAREWELL, grace / 4), min(_REFUSAL, grace / 8)
        # Watches of the health end after NOT_SERVING, unless their callers do not read.
        endings = (
            loop.call_later(farewell, self._boundary.end_unlimited_calls),
            loop.call_later(grace - farewell, self._boundary.end_calls),
        )
        try:
            # Calls that come now wait, so their callers send no other call until GOAWAY is sent. gRPC's core would
            # answer a call after that with a bare CANCELLED.
            await asyncio.sleep(refusal)
            stopping = asyncio.ensure_future(server.stop(grace - refusal))
            await asyncio.sleep(_GOAWAY)
            self._boundary.goaway_sent()
            await stopping
        finally:
            self._boundary.goaway_sent()
            for ending in endings:
                ending.cancel()
            self._guarding.cancel()
            await asyncio.gather(self._guarding, return_exceptions=True)
            self._servicer.close()


def _listen(server: grpc.aio.Server, listener: Listener) -> int:
    try:
        if listener.credentials is None:
            return server.add_insecure_port(listener.address)
        return server.add_secure_port(listener.address, listener.credentials)
    except RuntimeError as error:
        raise cannot_listen(listener.address, _refusal(listener.address)) from error


def _refusal(address: str) -> OSError | None:
    """Why gRPC could not listen on `address`. It does not pass the system's error on, so the address is tried again."""
    refusals: list[OSError] = []
    try:
        listen = ListenAddress.parse(address)
        places = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        return error
    except ValueError:
        return None
    for family, kind, protocol, _, place in places:
        try:
            with socket.socket(family, kind, protocol) as end:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                end.bind(place)
        except OSError as error:
            refusals.append(error)
    # `localhost` may have an address that this machine lacks. gRPC does without it, so it is not the reason.
    return min(refusals, key=lambda error: error.errno == errno.EADDRNOTAVAIL, default=None)


def _most_connections() -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS if files == resource.RLIM_INFINITY else min(_MOST_CONNECTIONS, files // _PART_OF_FILES)


def _options(limits: ServerLimits, reuse_port: bool) -> list[tuple[str, int]]:
    def milliseconds(seconds: float) -> int:
        return min(int(seconds * 1000), 2**31 - 1)

    return [
        # With it, a second process can listen on the same port without an error.
        ("grpc.so_reuseport", int(reuse_port)),
        # A flood of calls that are reset as soon as they are opened (CVE-2023-44487) ends other connections' calls
        # without this. It bounds what unfinished messages take, too.
        ("grpc.max_concurrent_streams", _STREAMS_OF_CONNECTION),
        # To each port. The guard closes some before there are so many.
        ("grpc.max_allowed_incoming_connections", _most_connections()),
        # For TLS and the first frame. Without it a connection that says nothing keeps its place for two minutes.
        ("grpc.server_handshake_timeout_ms", milliseconds(_HANDSHAKE)),
        # Clients connect again for their next call. A watch of the health is a call too.
        ("grpc.max_connection_idle_ms", milliseconds(_IDLE)),
        ("grpc.max_receive_message_length", _RECEIVE_LIMIT),
        # No compression, identity alone: gRPC would unpack 1 KiB to the limit above before anybody is asked.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        ("grpc.max_send_message_length", max(_SEND_LIMIT, _MANIFEST_FACTOR * limits.max_manifest_bytes)),
        # Between the two limits gRPC refuses at random; they are equal, so that it does not.
        ("grpc.max_metadata_size", _METADATA_LIMIT),
        ("grpc.absolute_max_metadata_size", _METADATA_LIMIT),
        ("grpc.max_connection_age_ms", milliseconds(limits.max_connection_age)),
        # No call that is within its own limit is cut short by its connection's age.
        (
            "grpc.max_connection_age_grace_ms",
            milliseconds(max(limits.max_call_duration, limits.max_stream_duration)),
        ),
        # A dead client is noticed within 80 s. Clients may ping every 10 s, the shortest interval of Go and Java.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 9_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
