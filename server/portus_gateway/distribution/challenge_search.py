"""Finds out how a registry asks for an account, when it answers requests without one.

Such a registry shows strangers its open repositories only. Private ones would be missing, and nobody would notice.
"""

import asyncio
import math
import secrets
import time
from collections.abc import Awaitable, Callable

from portus_gateway.distribution.authorization import NOTHING, Authorization
from portus_gateway.distribution.exchange import Answer
from portus_gateway.distribution.registry_request import PING, SMALL_BODY, RegistryRequest

Send = Callable[[RegistryRequest], Awaitable[Answer]]

_AGAIN_AFTER = 60.0
# Nobody has this repository, and nobody has pushed the digest: it is random.
_REPOSITORY = "portus-gateway/authentication-check"


class ChallengeSearch:
    """Sends requests that need a right, without credentials, until one is challenged.

    That is done once. Only if a request met an error of the registry, it is done again after a minute. The last of them
    deletes a digest that cannot exist, because hardly any registry lets strangers delete.
    """

    def __init__(self, authorization: Authorization) -> None:
        self._authorization = authorization
        self._searching = asyncio.Lock()
        self._not_before = 0.0

    async def finds(self, send: Send) -> bool:
        """Whether the registry asks for the account if a request needs a right.

        Raises what `send` raises, and the `GatewaySetup` family for a challenge that cannot be answered.
        """
        if not self._authorization.account_is_unused:
            return not self._authorization.is_anonymous
        async with self._searching:
            if self._authorization.account_is_unused and time.monotonic() >= self._not_before:
                self._not_before = await self._search(send)
        return not self._authorization.is_anonymous

    async def _search(self, send: Send) -> float:
        """Searches once, and returns the time before which another search is useless."""
        is_conclusive = True
        for request in _requests():
            answer = await send(request)
            if answer.status == 401 and answer.headers.get("WWW-Authenticate"):
                self._authorization.learn(answer, NOTHING)
                break
            is_conclusive &= answer.status < 500 and answer.status != 429
        return math.inf if is_conclusive else time.monotonic() + _AGAIN_AFTER


def _requests() -> tuple[RegistryRequest, ...]:
    digest = f"sha256:{secrets.token_hex(32)}"
    return (
        PING,
        RegistryRequest(method="GET", target="/v2/_catalog?n=1", route="catalog", scope="", body_limit=SMALL_BODY),
        RegistryRequest(
            method="DELETE",
            target=f"/v2/{_REPOSITORY}/manifests/{digest}",
            route="manifests",
            scope="",
            body_limit=SMALL_BODY,
            is_harmless=True,
        ),
    )
