"""GET /v2/: whether a registry answers, and accepts our credentials."""

import asyncio
from dataclasses import dataclass

from portus_gateway.distribution.authorization import Authorization
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.errors import RegistryFault, Unavailable
from portus_gateway.distribution.failures import failure
from portus_gateway.distribution.registry_request import PING
from portus_gateway.distribution.transport import Transport

_LONGEST_SEARCH = 5.0


@dataclass(frozen=True, slots=True)
class RegistryVersion:
    """What a registry says of itself. `api_version` is empty if it says nothing.

    `account_is_unused`: the registry answers without ever having asked for the account, as it answers strangers.
    """

    api_version: str
    account_is_unused: bool = False


class Ping:
    def __init__(self, transport: Transport, authorization: Authorization) -> None:
        self._transport = transport
        self._authorization = authorization

    async def send(self) -> RegistryVersion:
        answer = await self._transport.send(PING)
        if self._authorization.account_is_unused and await self._finds_challenge():
            answer = await self._transport.send(PING)
        if answer.status == 404:
            raise RegistryFault(
                "the configured address answers 404 at /v2/, so no Distribution registry is there",
                operator_detail=str(self._transport.origin),
                concern=Concern.REGISTRY_URL,
            )
        if answer.status != 200:
            raise failure(answer, "ping")
        said = answer.concealment.for_callers(answer.headers.get("Docker-Distribution-Api-Version", ""))
        return RegistryVersion(said[:64], self._authorization.account_is_unused)

    async def _finds_challenge(self) -> bool:
        """As `Transport.finds_challenge`. A registry that answers `/v2/` is there, even if it is too busy for more."""
        try:
            async with asyncio.timeout(_LONGEST_SEARCH):
                return await self._transport.finds_challenge()
        except (TimeoutError, Unavailable):
            return False
