"""An HTTP server whose connections are bounded, and of which none is left open at its end."""

import asyncio
import logging
import ssl
from itertools import islice
from typing import Final, Self

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from portus_gateway.aio.short_reads import ShortReads
from portus_gateway.aio.source_network import fullest_source_first, network_of
from portus_gateway.listen_address import ListenAddress, cannot_listen

# A connection is accepted in one turn of the event loop, made in the next, and known to aiohttp in the one after that.
_ACCEPTING_TURNS: Final = 3
# How often connections are looked at within the longest time that one may last.
_LOOKS: Final = 10


class HttpServer:
    """Serves `application` on `listen`. An async context manager; entering raises `OSError` if it cannot listen there.

    If there are `most_connections` already, one makes room for a new one: the oldest of the address that has the most.
    So whoever holds connections, or opens many, can neither keep others out nor use up the file descriptors of the
    process. No connection lasts longer than `longest_connection`; it may be closed a fifth of this time before. A
    connection is kept for `keepalive` after an answer, and its TLS handshake ends within `longest_handshake`. All times
    are in seconds.

    Bodies of requests are not decompressed: a stranger could stall the process with a few bytes. Connections are read
    in short parts, for the same reason. A connection whose request was answered before its body ended is closed.
    """

    def __init__(
        self,
        application: web.Application,
        listen: ListenAddress,
        *,
        most_connections: int,
        longest_connection: float | None = None,
        keepalive: float = 3630.0,  # as aiohttp has it
        tls: ssl.SSLContext | None = None,
        longest_handshake: float | None = None,
    ) -> None:
        self._listen = listen
        self._most_connections = most_connections
        self._longest_connection = longest_connection
        self._tls = tls
        self._longest_handshake = longest_handshake
        self._ended = False
        # Since when there is each connection, as the last look at all of them found.
        self._since: dict[web.RequestHandler, float] = {}
        self._looking: asyncio.TimerHandle | None = None
        self._runner = web.AppRunner(
            application,
            access_log=None,
            shutdown_timeout=1.0,
            keepalive_timeout=keepalive,
            # What comes after the answer is not read: a body may be endless.
            lingering_time=0.0,
            auto_decompress=False,
            logger=_log,
        )

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._connection,
                self._listen.host,
                self._listen.port,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else self._longest_handshake,
                reuse_address=True,
            )
        except BaseException as error:
            await self._runner.cleanup()
            if isinstance(error, OSError):
                raise cannot_listen(self._listen, error) from error
            raise
        if self._longest_connection is not None:
            self._close_old(self._longest_connection)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ended = True
        if self._looking is not None:
            self._looking.cancel()
        await close_listener(self._server)
        await self._runner.cleanup()

    @property
    def address(self) -> ListenAddress:
        """Where it listens, with the real port."""
        port: int = self._server.sockets[0].getsockname()[1]
        return self._listen.with_port(port)

    def _connection(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        if server is None or self._ended:
            # It was accepted before the end, and is made after it.
            return _Closed()
        # Many connections may be accepted at once. The server counts them only after that.
        asyncio.get_running_loop().call_soon(_make_room, server, self._most_connections)
        return ShortReads(server())

    def _close_old(self, longest: float) -> None:
        """Closes connections that are too old, and looks again soon.

        A timer for each connection would keep its memory long after its end, and strangers can open thousands a second.
        """
        server, loop = self._runner.server, asyncio.get_running_loop()
        now, pause = loop.time(), longest / _LOOKS
        if server is not None:
            self._since = {connection: self._since.get(connection, now) for connection in server.connections}
            for connection, since in self._since.items():
                if now - since > longest - 2 * pause:
                    connection.force_close()
        self._looking = loop.call_later(pause, self._close_old, longest)


async def close_listener(server: asyncio.Server) -> None:
    """Closes a server's listening sockets, once all connections that it has accepted are made.

    asyncio does not close a connection that was accepted before `Server.close` and would be made after it: the socket
    stays open until it is collected as garbage (CPython 3.11, an assertion in `Server._attach`).
    """
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        # From now on no connection is accepted. uvloop has no reader here, and does not need this.
        loop.remove_reader(listening.fileno())
    for _turn in range(_ACCEPTING_TURNS):
        await asyncio.sleep(0)
    server.close()


class _Closed(asyncio.Protocol):
    """A connection that comes too late: it is closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class _OwnFaultsOnly(logging.Filter):
    """Leaves out requests that are no HTTP. Each would be a traceback, and strangers can send any number of them."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


_log: Final = logging.getLogger(__name__)
_log.addFilter(_OwnFaultsOnly())


def _make_room(server: web.Server, most: int) -> None:
    if len(server.connections) < most:
        return
    connections = [each for each in server.connections if each.transport is not None]
    # One place is for the new one.
    surplus = len(connections) - most + 1
    if surplus <= 0:
        return
    sources = [(_source_of(connection), connection) for connection in connections]
    for connection in islice(fullest_source_first(sources), surplus):
        connection.force_close()


def _source_of(connection: web.RequestHandler) -> str:
    peer = connection.peername
    return network_of(peer[0]) if isinstance(peer, tuple) else ""
