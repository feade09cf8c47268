"""Serves one gateway with several processes."""

import asyncio
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack

import structlog

from portus_gateway import process
from portus_gateway.settings import Settings, Value
from portus_gateway.telemetry.announcement import announce
from portus_gateway.workers.shared_port import shared_port
from portus_gateway.workers.team import Team
from portus_gateway.workers.worker import END

_log = structlog.get_logger(__name__)


async def serve(settings: Settings, flags: Mapping[str, Value | None]) -> None:
    """Serves with `settings.workers` processes until SIGTERM or SIGINT; then drains them, within the grace.

    Each worker gets the environment and `flags`, which `settings` were made from. A SIGHUP is passed on to all of them.
    A worker that dies or hangs is replaced. If this process dies, the workers drain and end.

    Raises `OSError` if it cannot listen, and `InvalidAccessFile` and `InvalidSettings` as `app.running` does.
    """
    async with AsyncExitStack() as stack:
        address = stack.enter_context(shared_port(settings.listen))
        mtls = settings.mtls_listen and stack.enter_context(shared_port(settings.mtls_listen))
        worker_flags: dict[str, Value | None] = {**flags, "listen": str(address)}
        if mtls is not None:
            worker_flags["mtls_listen"] = str(mtls)
        team = Team(settings.workers, worker_flags)
        metrics = None
        if settings.metrics_listen is not None:
            from portus_gateway.telemetry.metrics_server import MetricsServer

            metrics = (await stack.enter_async_context(MetricsServer(team, team, settings.metrics_listen))).address
        stop = await stack.enter_async_context(
            process.stop_signal(grace=settings.drain_grace + END, before_end=team.kill)
        )
        async with team.running(stop, settings.drain_grace):
            if not stop.is_set():
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, team.hang_up)
                announce(settings, address, metrics=metrics, mtls=mtls, workers=settings.workers)
            await stop.wait()
            _log.info("draining", grace=settings.drain_grace)
    _log.info("stopped")
