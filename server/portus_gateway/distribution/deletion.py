"""Deletes. Each is sent once, over a connection of its own. If its answer is lost, the client checks whether the
content still exists.
"""

import asyncio
from collections.abc import Awaitable, Callable

from portus_gateway.aio import spans
from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.distribution.error_document import ErrorDocument
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
    """Sends deletes over `transport`, as many at a time as `slots` has.

    `transport` has to open a new connection for each request: over a kept one, which the registry may just be closing,
    a delete gets lost. `timeout` is in seconds. A registry answers only when the delete is done.
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

        Raises `NotFound`, `Unsupported`, `Denied`, `PreconditionFailed`; `DeleteOutcomeUnknown` where no answer of the
        registry came, and `still_there` says that the delete has had no effect yet.
        """
        action = f"delete {target.removeprefix('/v2/')}"
        error: DistributionError
        registry_failed = False
        try:
            answer = await self.attempt(repository, target, route)
            if 200 <= answer.status < 300:
                return
            error = failure(answer, action)
            if answer.status < 500 and not answer.is_transient:
                raise error
            # Only the registry itself writes an error document. Behind a proxy's answer it may still be at work.
            registry_failed = not isinstance(error, Unavailable) and ErrorDocument.read(answer.body) is not None
        except (Unavailable, UntrustedAnswer) as lost:
            if not lost.sent:
                raise
            error = lost
        # The registry may have deleted before it failed, or before a proxy gave up. Only a check shows it.
        try:
            there = await still_there()
        except NotFound:
            # The repository does not exist any more, nor does what was in it.
            there = False
        except DeadlineExceeded:
            raise
        except GatewayError as unseen:
            # A failed check says nothing about the delete.
            raise DeleteOutcomeUnknown(
                f"{action}: {error}. Afterwards, the gateway could not check whether it was deleted ({unseen})."
                " Check before you try again",
                operator_detail=error.operator_detail,
            ) from error
        if not there:
            return
        if registry_failed:
            raise error
        raise DeleteOutcomeUnknown(
            f"{action}: {error}. It still existed afterwards, but the registry may still delete it."
            " Check again before you retry",
            operator_detail=error.operator_detail,
        ) from error

    async def attempt(self, repository: Repository, target: str, route: str) -> Answer:
        """The registry's answer to one DELETE, whatever its status."""
        request = RegistryRequest(
            method="DELETE",
            target=target,
            route=route,
            scope=f"repository:{repository}:delete",
            body_limit=_BODY_LIMIT,
            total=self._timeout,
        )
        if self._slots.locked():
            with spans.step("wait for slot of deletes"):
                await self._slots.acquire()
        else:
            await self._slots.acquire()
        try:
            return await self._transport.send(request)
        finally:
            self._slots.release()
