"""One HTTP server on one port. It closes without waiting for its clients."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web

from portus_gateway.aio.http_server import close_listener
from portus_gateway.listen_address import ListenAddress, cannot_listen

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_SHUTDOWN_SECONDS = 0.5
_BACKLOG = 1024


class Listener:
    """Serves `handler` on a port of `host`. Port 0 takes a free one, and keeps it when the server starts again."""

    def __init__(self, handler: Handler, host: str, port: int, ssl_context: ssl.SSLContext | None) -> None:
        self._handler = handler
        self._host = host
        self._port = port
        self._ssl_context = ssl_context
        self._listening: asyncio.Server | None = None
        self._closing: asyncio.Event | None = None

    @property
    def authority(self) -> str:
        if not self._port:
            raise RuntimeError("the port is known when the server runs: use `async with`")
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    @property
    def origin(self) -> str:
        return f"{'https' if self._ssl_context else 'http'}://{self.authority}"

    @property
    def closing(self) -> asyncio.Event:
        """Set when the server begins to close. A handler that waits has to end then."""
        if self._closing is None:
            raise RuntimeError("the server is not running")
        return self._closing

    async def start(self) -> None:
        if self._listening is not None:
            raise RuntimeError("the server is already running")
        self._server = web.Server(self._handler, handler_cancellation=True, access_log=None)
        try:
            listening = await asyncio.get_running_loop().create_server(
                self._server, self._host, self._port, ssl=self._ssl_context, backlog=_BACKLOG, reuse_address=True
            )
        except OSError as error:
            raise cannot_listen(ListenAddress(self._host, self._port), error) from error
        self._port = listening.sockets[0].getsockname()[1]
        self._closing = asyncio.Event()
        self._listening = listening

    async def close(self) -> None:
        if self._listening is None:
            return
        listening, self._listening = self._listening, None
        self.closing.set()
        await close_listener(listening)
        self._server.pre_shutdown()
        await self._server.shutdown(_SHUTDOWN_SECONDS)
