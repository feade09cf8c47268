"""Serves the metrics over HTTP, on an address of their own."""

from typing import Protocol, Self

from aiohttp import web

from portus_gateway.listen_address import ListenAddress

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MetricsSource(Protocol):
    """What there is to serve."""

    async def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""


class MetricsServer:
    """`GET /metrics` on `listen`; an async context manager. Raises `OSError` where it cannot listen there."""

    def __init__(self, metrics: MetricsSource, listen: ListenAddress) -> None:
        self._metrics = metrics
        self._listen = listen

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_get("/metrics", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._listen.host, self._listen.port).start()
        except BaseException:
            await self._runner.cleanup()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def address(self) -> ListenAddress:
        """Where it listens, with the real port."""
        port: int = self._runner.addresses[0][1]
        return self._listen.with_port(port)

    async def _answer(self, _: web.Request) -> web.Response:
        return web.Response(body=await self._metrics.exposition(), headers={"Content-Type": _CONTENT_TYPE})
