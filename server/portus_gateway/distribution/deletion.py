"""Deletes, which are sent once: what became of one whose answer got lost is found out by looking."""

import asyncio
from collections.abc import Awaitable, Callable

from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.distribution.errors import (
    DeleteOutcomeUnknown,
    DistributionError,
    NotFound,
    Unavailable,
    UntrustedAnswer,
)
from portus_gateway.distribution.exchange import Answer
from portus_gateway.distribution.failures import failure
from portus_gateway.distribution.names import Repository
from portus_gateway.distribution.registry_request import RegistryRequest
from portus_gateway.distribution.transport import Transport
from portus_gateway.errors import GatewayError

_BODY_LIMIT = 64 * 1024


class Deletion:
    """Sends deletes to one registry, in `slots` of their own.

    `timeout` is in seconds: a registry says nothing until it is done.
    """

    def __init__(self, transport: Transport, timeout: float, slots: asyncio.Semaphore) -> None:
        self._transport = transport
        self._timeout = timeout
        self._slots = slots

    async def delete(
        self,
        repository: Repository,
        target: str,
        route: str,
        still_there: Callable[[], Awaitable[bool]],
    ) -> None:
        """Deletes `target`, a path in the registry.

        Raises `NotFound`, `Unsupported`, `Denied`; `DeleteOutcomeUnknown` where the answer got lost and
        `still_there` says that the delete has had no effect yet.
        """
        action = f"delete {target.removeprefix('/v2/')}"
        error: DistributionError
        try:
            answer = await self.attempt(repository, target, route)
            if 200 <= answer.status < 300:
                return
            error = failure(answer, action)
            if answer.status < 500:
                raise error
        except Unavailable as lost:
            if not lost.sent:
                raise
            error = lost
        except UntrustedAnswer as garbled:
            error = garbled
        # What the registry did before it failed, or before a proxy in between gave up, only looking tells.
        try:
            there = await still_there()
        except NotFound:
            # Not even the repository is: whatever was to go has gone.
            there = False
        except DeadlineExceeded:
            raise
        except GatewayError as unseen:
            # Whatever it is that failed: it was the look, and says nothing of the delete.
            raise DeleteOutcomeUnknown(
                f"{action}: {error}. Nor could it be looked up afterwards ({unseen}): look before the next try"
            ) from error
        if there and isinstance(error, Unavailable):
            raise DeleteOutcomeUnknown(
                f"{action}: {error}. It was still there afterwards, but the registry may be at it yet:"
                " look again before the next try"
            ) from error
        if there:
            raise error

    async def attempt(self, repository: Repository, target: str, route: str) -> Answer:
        """The registry's plain answer to one DELETE."""
        request = RegistryRequest(
            method="DELETE",
            target=target,
            route=route,
            scope=f"repository:{repository}:delete",
            body_limit=_BODY_LIMIT,
            total=self._timeout,
        )
        async with self._slots:
            return await self._transport.send(request)
