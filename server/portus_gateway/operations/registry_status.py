"""Whether the registry can be used: asked by a caller, and checked regularly, so that no health check has to ask it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import structlog

from portus_gateway.aio import deadline
from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.errors import (
    DistributionError,
    RegistryFault,
    Unavailable,
    UntrustedAnswer,
    UpstreamTimeout,
    WrongAddress,
)
from portus_gateway.errors import GatewayError
from portus_gateway.operations.setting_advice import operator_text
from portus_gateway.registry.protocol import Registry

_log = structlog.get_logger(__name__)

# How long the registry may take, in seconds, and how much of the time that its caller waits: a caller who asks for the
# registry's status wants an answer and not an expired deadline.
_PATIENCE = 10.0
_SHARE = 0.8
# The first failure may be a short one: it is checked again sooner than a state that lasts.
_SOON = 1.0


class AccountNotAskedFor(DistributionError):
    """The registry has answered so far without asking for the gateway's account, as it answers strangers."""

    reason = "ACCOUNT_NOT_ASKED_FOR"

    def __init__(self) -> None:
        super().__init__(
            "the registry answers without asking for the gateway's account, so private repositories may be missing",
            concern=Concern.AUTHENTICATION,
        )


@dataclass(frozen=True, slots=True)
class RegistryStatus:
    """`reachable`: a registry answered, whether it accepts the account or not. `ready`: it can be used.

    `api_version` is empty if the registry said nothing about it. `problem` is what the operator has to correct, None if
    there is nothing.
    """

    reachable: bool
    ready: bool = False
    api_version: str = ""
    problem: GatewayError | None = None


async def registry_status(registry: Registry) -> RegistryStatus:
    """Asks the registry. Never fails because of it."""
    remaining = deadline.remaining()
    patience = _PATIENCE if remaining is None else min(_PATIENCE, remaining * _SHARE)
    try:
        async with deadline.within(patience):
            version = await registry.ping()
    except DeadlineExceeded:
        late = UpstreamTimeout(f"the registry did not answer within {patience:.1f} s")
        return RegistryStatus(reachable=False, problem=late)
    except (Unavailable, WrongAddress, RegistryFault, UntrustedAnswer) as error:
        # With the latter two a server answers, but not as a registry does.
        return RegistryStatus(reachable=False, problem=error)
    except GatewayError as error:
        return RegistryStatus(reachable=True, problem=error)
    problem = AccountNotAskedFor() if version.account_is_unused else None
    return RegistryStatus(reachable=True, ready=True, api_version=version.api_version, problem=problem)


class Readiness:
    """Checks `registry` every `interval` seconds while its context lasts.

    Calls `changed` after the first check, and when readiness or its reason changes. Only changes are logged. One
    failure after a success is checked again after a second before it counts.
    """

    def __init__(self, registry: Registry, interval: float, changed: Callable[[RegistryStatus], None]) -> None:
        self._registry = registry
        self._interval = interval
        self._changed = changed
        self._ready = False
        self._told: tuple[bool, str] | None = None

    async def __aenter__(self) -> Self:
        self._checks = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._checks.cancel()
        await asyncio.gather(self._checks, return_exceptions=True)

    async def _run(self) -> None:
        try:
            await self._check_for_ever()
        except Exception:
            failure = "the readiness check failed unexpectedly: restart the gateway"
            _log.exception(failure)
            self._changed(RegistryStatus(reachable=False, problem=GatewayError(failure)))

    async def _check_for_ever(self) -> None:
        while True:
            status = await registry_status(self._registry)
            if self._ready and not status.ready:
                await asyncio.sleep(min(_SOON, self._interval))
                status = await registry_status(self._registry)
            self._ready = status.ready
            state = (status.ready, status.problem.reason if status.problem is not None else "")
            if state != self._told:
                self._told = state
                self._log(status)
                self._changed(status)
            await asyncio.sleep(self._interval)

    def _log(self, status: RegistryStatus) -> None:
        problem = status.problem
        event = "registry ready" if status.ready else "registry not ready"
        if problem is None:
            _log.info(event)
        else:
            _log.warning(event, reason=problem.reason, problem=operator_text(problem))
