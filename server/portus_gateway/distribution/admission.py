"""Which credentials a request is tried with until the registry answers it, and what it means if it never does.

A 401 is answered with new credentials, in a bounded number of tries.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from yarl import URL

from portus_gateway.aio import deadline, spans
from portus_gateway.distribution.authorization import Authorization, Authorized, Refusal
from portus_gateway.distribution.challenge_search import ChallengeSearch
from portus_gateway.distribution.error_document import ErrorDocument
from portus_gateway.distribution.errors import DistributionError, Unavailable, UntrustedAnswer
from portus_gateway.distribution.exchange import Answer
from portus_gateway.distribution.registry_request import PING, REPEATABLE, RegistryRequest
from portus_gateway.distribution.registry_sender import RegistrySender
from portus_gateway.distribution.tokens import Token

# A kept token, one for the scopes of the challenge, and one in place of that.
_MOST_TRIES = 3
# What registries answer to a credential that they do not accept.
_REFUSALS = frozenset({400, 401, 403})
_REFUSAL_CODES = frozenset({"UNAUTHORIZED", "DENIED", "UNKNOWN"})
# A token in place of a refused one is fetched again if its request has waited longer than this for its slot, in
# seconds: not every token service says how soon its tokens end.
_LONGEST_WAIT = 1.0

Authorize = Callable[[], Awaitable[Authorized]]


class Admission:
    """Sends requests to one registry, with credentials until it accepts them.

    `clock_delay` is the time in seconds after which a refused new token is tried again: the registry's clock may be
    late.
    """

    def __init__(
        self, sender: RegistrySender, authorization: Authorization, search: ChallengeSearch, clock_delay: float
    ) -> None:
        self._sender = sender
        self._authorization = authorization
        self._search = search
        self._clock_delay = clock_delay

    async def finds_challenge(self) -> bool:
        """Whether the registry asks for credentials, if it is asked for something that needs a right."""
        return await self._search.finds(self._sender.send_plain)

    async def answer_to(self, request: RegistryRequest, url: URL) -> Answer:
        """The registry's answer at `url`, whatever its status but 401.

        Raises `Denied` if the registry refuses new credentials, too, the `GatewaySetup` family if there are none, and
        what `Exchange.send` raises.
        """
        scopes: tuple[str, ...] = (request.scope,) if request.scope else ()
        if self._authorization.needs_challenge and not await self.finds_challenge():
            self._authorization.assume_token_service()
        started = time.monotonic()
        carried = await self._authorized(scopes)
        if carried.token is None:
            answer = await self._sender.send(request, url, carried)
        else:
            authorize = self._unless_ended(carried, carried.token, scopes)
            answer, carried = await self._sender.send_authorized(request, url, authorize)
        # Whether a registry answers must not depend on how long a search takes: `Ping` searches by itself.
        searches = answer.status != 401 and not carried.fields and request is not PING
        if searches and await self.finds_challenge():
            # So far, this is the answer to a request without credentials.
            if request.method in REPEATABLE or 400 <= answer.status < 500:
                answer, carried = await self._send_anew(request, url, scopes, carried)
        elif _may_mean_expired(answer, carried, started):
            answer, carried = await self._send_anew(request, url, scopes, carried)
        if answer.status == 401:
            return await self._answer_to_challenged(request, url, scopes, carried, answer, started)
        if answer.status not in _REFUSALS:
            self._authorization.accepted(carried, challenged=False)
        return answer

    async def _answer_to_challenged(
        self,
        request: RegistryRequest,
        url: URL,
        scopes: tuple[str, ...],
        carried: Authorized,
        answer: Answer,
        started: float,
    ) -> Answer:
        """The answer to `request` with what the 401 in `answer` asks for."""
        for attempt in range(_MOST_TRIES):
            refusal = self._authorization.learn(answer, carried)
            scopes = refusal.scopes or scopes
            if self._authorization.is_current(carried, started) and (attempt or carried.token is None):
                break
            # Once more if that was a kept token of another scope: it may have been revoked, too.
            answer, carried = await self._send_anew(request, url, scopes, carried)
            if answer.status != 401:
                break
        if answer.status == 401 and carried.token is not None and self._authorization.may_become_valid(refusal):
            answer = await self._answer_later(request, url, carried) or answer
        if answer.status == 401:
            raise await self._refused(request, scopes, carried, refusal)
        if answer.status not in _REFUSALS:
            self._authorization.accepted(carried, challenged=True)
        return answer

    async def _answer_later(self, request: RegistryRequest, url: URL, carried: Authorized) -> Answer | None:
        """The answer to the same request a little later; None if the caller does not wait for that long."""
        if not deadline.allows(self._clock_delay):
            return None
        with spans.step("wait until token is valid"):
            await asyncio.sleep(self._clock_delay)
        return await self._sender.send(request, url, carried)

    async def _refused(
        self, request: RegistryRequest, scopes: tuple[str, ...], carried: Authorized, refusal: Refusal
    ) -> DistributionError:
        action = f"{request.method} {request.path}"
        if carried.token is not None:
            return self._authorization.token_refused(action, scopes, refusal)
        return self._authorization.password_refused(action, works_elsewhere=await self._password_works(carried))

    async def _password_works(self, carried: Authorized) -> bool:
        """Whether the registry accepts the password at `/v2/`. If that is open to all, whether it did so before."""
        with_password = await self._sender.send(PING, self._sender.url_of(PING), carried)
        if with_password.status == 401:
            return False
        without = await self._sender.send_plain(PING)
        return without.status == 401 or self._authorization.is_known_to_work(carried)

    async def _send_anew(
        self, request: RegistryRequest, url: URL, scopes: tuple[str, ...], refused: Authorized
    ) -> tuple[Answer, Authorized]:
        """The answer to the request with what the registry is known to want now, and not with a refused token."""
        carried = await self._authorized(scopes, refused.token)
        if carried.token is None:
            return await self._sender.send(request, url, carried), carried
        authorize = self._unless_ended(carried, carried.token, scopes, longest_wait=_LONGEST_WAIT)
        return await self._sender.send_authorized(request, url, authorize)

    def _unless_ended(
        self, carried: Authorized, token: Token, scopes: tuple[str, ...], longest_wait: float | None = None
    ) -> Authorize:
        """The credentials for a request that has its slot: `carried`, or a new token if that of `carried` ended
        meanwhile.

        Tokens are fetched before their requests wait for a slot, because no slot should wait for the token service.
        Only what ended while it waited is fetched in the slot. A token that waited longer than `longest_wait` counts as
        ended.
        """
        obtained = time.monotonic()

        async def authorize() -> Authorized:
            now = time.monotonic()
            has_ended = obtained < token.ends_at <= now
            if has_ended or (longest_wait is not None and now - obtained > longest_wait):
                return await self._authorized(scopes, token)
            return carried

        return authorize

    async def _authorized(self, scopes: tuple[str, ...], refused: Token | None = None) -> Authorized:
        try:
            return await self._authorization.authorize(scopes, refused)
        except (Unavailable, UntrustedAnswer) as error:
            # The request for a token may have been sent. The one that needs the token was not.
            error.sent = False
            raise


def _may_mean_expired(answer: Answer, carried: Authorized, started: float) -> bool:
    """Whether `answer` may refuse a kept token that was accepted before. Some registries answer 400 or 403 then."""
    token = carried.token
    if token is None or not token.accepted or token.fetched_at >= started:
        return False
    stated = ErrorDocument.read(answer.body) if answer.status == 400 else None
    return answer.status == 403 or (answer.status == 400 and (stated is None or stated.code in _REFUSAL_CODES))
