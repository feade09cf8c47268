"""One HTTP server on one port. It closes without waiting for its clients."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web

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
        self._runner: web.ServerRunner | None = None
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
        if self._runner is not None:
            raise RuntimeError("the server is already running")
        server = web.Server(self._handler, handler_cancellation=True, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._host, self._port, ssl_context=self._ssl_context, backlog=_BACKLOG)
            await site.start()
        except BaseException:
            await runner.cleanup()
            raise
        self._port = runner.addresses[0][1]
        self._closing = asyncio.Event()
        self._runner = runner

    async def close(self) -> None:
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        self.closing.set()
        await runner.cleanup()
