"""Whether the registry can be used, found out now and then, so that no health check has to ask it."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog

from portus_gateway.aio import deadline
from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.distribution.errors import UpstreamTimeout
from portus_gateway.errors import GatewayError
from portus_gateway.operations.setting_advice import operator_text
from portus_gateway.registry.protocol import Registry

_log = structlog.get_logger(__name__)

_PATIENCE = 10.0
# The first failure may be a hiccup: it is looked at again sooner than a state that lasts.
_SOON = 1.0


class Readiness:
    """Checks `registry` every `interval` seconds while its context lasts, and tells `changed` of changes.

    One failure after a success is checked again after a second before it counts. Only changes are logged.
    """

    def __init__(self, registry: Registry, interval: float, changed: Callable[[bool], None]) -> None:
        self._registry = registry
        self._interval = interval
        self._changed = changed
        self._ready: bool | None = None

    async def __aenter__(self) -> Self:
        self._checks = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._checks.cancel()
        await asyncio.gather(self._checks, return_exceptions=True)

    async def _run(self) -> None:
        try:
            await self._check_for_ever()
        except Exception:
            _log.exception("the readiness check failed unexpectedly: restart the gateway")
            self._changed(False)

    async def _check_for_ever(self) -> None:
        while True:
            problem = await self._problem()
            if problem is not None and self._ready:
                await asyncio.sleep(min(_SOON, self._interval))
                problem = await self._problem()
            self._found(problem)
            await asyncio.sleep(self._interval)

    async def _problem(self) -> GatewayError | None:
        try:
            async with deadline.within(_PATIENCE):
                await self._registry.ping()
        except DeadlineExceeded:
            return UpstreamTimeout(f"the registry did not answer within {_PATIENCE:g} s")
        except GatewayError as error:
            return error
        return None

    def _found(self, problem: GatewayError | None) -> None:
        ready = problem is None
        if ready is self._ready:
            return
        self._ready = ready
        if problem is None:
            _log.info("registry ready")
        else:
            _log.warning("registry not ready", reason=problem.reason, problem=operator_text(problem))
        self._changed(ready)
