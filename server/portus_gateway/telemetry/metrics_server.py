"""Serves the metrics and the probes over HTTP, on an address of their own."""

from typing import Final, Protocol

from aiohttp import web

from portus_gateway.aio.http_server import HttpServer
from portus_gateway.listen_address import ListenAddress

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# A probe asks what is the case now.
_NOT_STORED: Final = {"Cache-Control": "no-store"}
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


class MetricsServer(HttpServer):
    """`GET /metrics`, `/livez` and `/readyz` on `listen`. An async context manager.

    `/livez` is 200 whenever the event loop answers. `/readyz` is 200 if the gateway can serve its callers, else 503
    with a line for each problem. Entering raises `OSError` if it cannot listen there.
    """

    def __init__(self, metrics: MetricsSource, health: HealthSource, listen: ListenAddress) -> None:
        self._metrics = metrics
        self._health = health
        application = web.Application()
        application.router.add_get("/metrics", self._exposition)
        application.router.add_get("/livez", self._live)
        application.router.add_get("/readyz", self._ready)
        super().__init__(application, listen, most_connections=_MOST_CONNECTIONS)

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
