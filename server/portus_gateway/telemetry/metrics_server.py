"""Serves the metrics and the probes over HTTP, on an address of their own."""

import asyncio
from typing import Final, Protocol, Self

from aiohttp import web

from portus_gateway.aio.http_connections import bounded_connection
from portus_gateway.listen_address import ListenAddress

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# A probe asks what is the case now.
_NOT_STORED: Final = {"Cache-Control": "no-store"}
# Connections at the same time. One more takes the place of the oldest: whoever holds them can neither keep probes out
# nor use up the file descriptors of the process, which its callers need.
_MOST_CONNECTIONS: Final = 64


class MetricsSource(Protocol):
    """A source of metrics."""

    async def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""


class HealthSource(Protocol):
    """The health to serve."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What prevents the gateway from serving its callers. Empty if nothing does."""


class MetricsServer:
    """`GET /metrics`, `/livez` and `/readyz` on `listen`. An async context manager.

    `/livez` is 200 whenever the event loop answers. `/readyz` is 200 if the gateway can serve its callers, else 503
    with a line for each problem. Entering raises `OSError` if it cannot listen there.
    """

    def __init__(self, metrics: MetricsSource, health: HealthSource, listen: ListenAddress) -> None:
        self._metrics = metrics
        self._health = health
        self._listen = listen

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_get("/metrics", self._exposition)
        application.router.add_get("/livez", self._live)
        application.router.add_get("/readyz", self._ready)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._connection, self._listen.host, self._listen.port
            )
        except BaseException:
            await self._runner.cleanup()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._runner.cleanup()

    @property
    def address(self) -> ListenAddress:
        """Where it listens, with the real port."""
        port: int = self._server.sockets[0].getsockname()[1]
        return self._listen.with_port(port)

    def _connection(self) -> asyncio.Protocol:
        server = self._runner.server
        if server is None:
            raise RuntimeError("the metrics server has ended")
        return bounded_connection(server, _MOST_CONNECTIONS)

    async def _exposition(self, _: web.Request) -> web.Response:
        return web.Response(body=await self._metrics.exposition(), headers={"Content-Type": _CONTENT_TYPE})

    async def _live(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n", headers=_NOT_STORED)

    async def _ready(self, _: web.Request) -> web.Response:
        problems = self._health.problems
        if not problems:
            return web.Response(text="ok\n", headers=_NOT_STORED)
        return web.Response(
            status=503, text="".join(f"not ready: {problem}\n" for problem in problems), headers=_NOT_STORED
        )
