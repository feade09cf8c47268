"""Requests to the registry, with whatever credentials it asks for."""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping

from multidict import CIMultiDict
from yarl import URL

from portus_gateway.aio import deadline
from portus_gateway.distribution.authorization import Authorization, Authorized, Refusal
from portus_gateway.distribution.challenge_search import ChallengeSearch
from portus_gateway.distribution.concealment import Concealment, PrivateNames
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.error_document import ErrorDocument
from portus_gateway.distribution.errors import DistributionError, RedirectRefused, RegistryFault, Unavailable
from portus_gateway.distribution.exchange import Answer, Exchange, Request
from portus_gateway.distribution.origin import Origin, without_secrets
from portus_gateway.distribution.peer import REGISTRY, STORAGE, Peer
from portus_gateway.distribution.registry_request import PING, RegistryRequest
from portus_gateway.distribution.tokens import Token

_MOST_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REPEATABLE = frozenset({"GET", "HEAD"})
# A kept token, one for the scope of the challenge, and one in place of that.
_MOST_CREDENTIALS = 3
# What registries answer to a credential that they do not accept.
_REFUSALS = frozenset({400, 401, 403})
_REFUSAL_CODES = frozenset({"UNAUTHORIZED", "DENIED", "UNKNOWN"})


Authorize = Callable[[], Awaitable[Authorized]]


class Transport:
    """Sends requests to one registry."""

    def __init__(
        self,
        origin: Origin,
        exchange: Exchange,
        authorization: Authorization,
        search: ChallengeSearch,
        names: PrivateNames,
        clock_delay: float,
        blob_origins: frozenset[Origin] = frozenset(),
    ) -> None:
        self._origin = origin
        self._blob_origins = blob_origins
        self._search = search
        self._clock_delay = clock_delay
        self._authority = URL(str(origin)).raw_authority
        self._exchange = exchange
        self._authorization = authorization
        self._names = names

    @property
    def origin(self) -> Origin:
        return self._origin

    async def send(self, request: RegistryRequest) -> Answer:
        """The registry's answer, whatever its status but 401.

        A 401 is answered with a fresh token, once; it never loops. Raises `Denied` where that does not help, the
        `GatewaySetup` family where there is no token to be had, and what `Exchange.send` raises.
        """
        url = self._url_of(request)
        for _ in range(1 + _MOST_REDIRECTS):
            answer = await self._admitted(request, url)
            if answer.status not in REDIRECTS or not request.follow_redirects:
                return answer
            if request.method not in _REPEATABLE:
                raise RegistryFault(f"the registry answered {request.method} {request.path} with a redirect")
            url = self._redirect_target(url, answer)
        raise RegistryFault(f"the registry redirected {request.path} more than {_MOST_REDIRECTS} times")

    async def fetch_from_storage(self, request: RegistryRequest, redirect: Answer) -> Answer:
        """The answer from where `redirect` leads. It is the registry's answer to the GET of a blob.

        Redirects are followed to the registry's own origin and to `blob_origins`. No credential goes to another origin
        than the registry's, and a challenge from there is only a status. The caller has to verify the content. Raises
        `RedirectRefused`.
        """
        url = URL(str(self._origin)).with_path(request.path, encoded=True)
        for _ in range(_MOST_REDIRECTS):
            url = self._location(url, redirect)
            target = Origin.of(url)
            if target == self._origin:
                redirect = await self._admitted(request, url)
            elif target in self._blob_origins:
                redirect = await self._exchange_once(request, url, Authorized({}), STORAGE)
            else:
                raise RedirectRefused(
                    "the registry redirected the request for a blob to a server that the gateway may not use",
                    operator_detail=f"to {redirect.concealment.for_operator(str(target))}",
                    concern=Concern.BLOB_ORIGINS,
                )
            if redirect.status not in REDIRECTS:
                return redirect
        raise RegistryFault(f"the registry's storage redirected {request.path} more than {_MOST_REDIRECTS} times")

    async def _admitted(self, request: RegistryRequest, url: URL) -> Answer:
        scopes: tuple[str, ...] = (request.scope,) if request.scope else ()
        if self._authorization.needs_challenge and not await self.finds_challenge():
            self._authorization.assume_token_service()
        started = time.monotonic()
        # A token is fetched before there is a slot, so that requests which have theirs do not wait for it.
        carried = await self._authorized(scopes)
        if carried.token is None:
            answer = await self._exchange_once(request, url, carried)
        else:
            answer, carried = await self._exchange_authorized(request, url, self._unless_ended(carried, scopes))
        # Whether a registry answers must not depend on how long a search takes: `Ping` sees to that itself.
        searches = answer.status != 401 and not carried.fields and request != PING
        if searches and await self.finds_challenge():
            # This is what the registry answers to strangers.
            if request.method in _REPEATABLE or 400 <= answer.status < 500:
                answer, carried = await self._exchange_authorized(request, url, self._in_place_of(carried, scopes))
        elif _may_mean_expired(answer, carried, started):
            answer, carried = await self._exchange_authorized(request, url, self._in_place_of(carried, scopes))
        if answer.status == 401:
            return await self._with_fresh_credentials(request, url, scopes, carried, answer, started)
        if answer.status not in _REFUSALS:
            self._authorization.accepted(carried, challenged=False)
        return answer

    async def _with_fresh_credentials(
        self,
        request: RegistryRequest,
        url: URL,
        scopes: tuple[str, ...],
        carried: Authorized,
        answer: Answer,
        started: float,
    ) -> Answer:
        """The answer to `request` with what the 401 in `answer` asks for."""
        for attempt in range(_MOST_CREDENTIALS):
            refusal = self._authorization.learn(answer, carried)
            scopes = refusal.scopes or scopes
            if self._authorization.is_current(carried, started) and (attempt or carried.token is None):
                break
            # Once more if that was a kept token of another scope: it may have been revoked too.
            answer, carried = await self._exchange_authorized(request, url, self._in_place_of(carried, scopes))
            if answer.status != 401:
                break
        if answer.status == 401 and carried.token is not None and self._authorization.may_become_valid(refusal):
            answer = await self._exchange_later(request, url, carried) or answer
        if answer.status == 401:
            raise await self._refused(request, scopes, carried, refusal)
        if answer.status not in _REFUSALS:
            self._authorization.accepted(carried, challenged=True)
        return answer

    async def _exchange_later(self, request: RegistryRequest, url: URL, carried: Authorized) -> Answer | None:
        """The answer to the same request a little later; None if the caller does not wait for that long."""
        if not deadline.allows(self._clock_delay):
            return None
        await asyncio.sleep(self._clock_delay)
        return await self._exchange_once(request, url, carried)

    async def _refused(
        self, request: RegistryRequest, scopes: tuple[str, ...], carried: Authorized, refusal: Refusal
    ) -> DistributionError:
        action = f"{request.method} {request.path}"
        if carried.token is not None:
            return self._authorization.token_refused(action, scopes, refusal)
        return self._authorization.password_refused(action, works_elsewhere=await self._password_works(carried))

    async def _password_works(self, carried: Authorized) -> bool:
        """Whether the registry takes the password at `/v2/`. Where that is open to all, whether it took it before."""
        with_password = await self._exchange_once(PING, self._url_of(PING), carried)
        if with_password.status == 401:
            return False
        return (await self.send_plain(PING)).status == 401 or self._authorization.is_known_to_work(carried)

    async def finds_challenge(self) -> bool:
        """Whether the registry asks for credentials, if it is asked for something that needs a right."""
        return await self._search.finds(self.send_plain)

    async def send_plain(self, request: RegistryRequest) -> Answer:
        """The registry's answer to the request without credentials, whatever its status."""
        return await self._exchange_once(request, self._url_of(request), Authorized({}))

    def _url_of(self, request: RegistryRequest) -> URL:
        path, _, query = request.target.partition("?")
        # Put together from its parts, which takes half as long as parsing a text.
        return URL.build(
            scheme=self._origin.scheme, authority=self._authority, path=path, query_string=query, encoded=True
        )

    async def _authorized(self, scopes: tuple[str, ...], refused: Token | None = None) -> Authorized:
        try:
            return await self._authorization.authorize(scopes, refused)
        except Unavailable as error:
            # Whatever became of the request for a token, the one that wanted it has not left.
            error.sent = False
            raise

    def _unless_ended(self, carried: Authorized, scopes: tuple[str, ...]) -> Authorize:
        """Gives `carried`, or a new token if that of `carried` ended in the meantime."""
        obtained, token = time.monotonic(), carried.token

        async def authorize() -> Authorized:
            if token is None or not obtained < token.ends_at <= time.monotonic():
                return carried
            return await self._authorized(scopes, refused=token)

        return authorize

    def _in_place_of(self, carried: Authorized, scopes: tuple[str, ...]) -> Authorize:
        """Gives what the registry is known to want now, and no token that it has refused."""
        return lambda: self._authorized(scopes, refused=carried.token)

    async def _exchange_authorized(
        self, request: RegistryRequest, url: URL, authorize: Authorize
    ) -> tuple[Answer, Authorized]:
        """The answer, and what the request carried. `authorize` is called when the request has its slot."""
        carried = Authorized({})

        async def credentials() -> Mapping[str, str]:
            nonlocal carried
            carried = await authorize()
            return carried.fields

        answer = await self._exchange.send(self._request(request, url, REGISTRY), credentials)
        return self._concealing(answer, carried), carried

    async def _exchange_once(
        self, request: RegistryRequest, url: URL, carried: Authorized, peer: Peer = REGISTRY
    ) -> Answer:
        made = self._request(request, url, peer)
        made.headers.update(carried.fields)
        return self._concealing(await self._exchange.send(made), carried)

    def _request(self, request: RegistryRequest, url: URL, peer: Peer) -> Request:
        headers = CIMultiDict({"Accept-Encoding": "identity"})
        headers["Accept"] = ", ".join(request.accept) if request.accept else "application/json"
        if request.method in _REPEATABLE:
            # A cache on the way must not answer with what was there before: a delete may be decided on it.
            headers["Cache-Control"] = "no-cache"
        if request.if_none_match:
            headers["If-None-Match"] = request.if_none_match
        return Request(
            method=request.method,
            url=url,
            route=request.route,
            peer=peer,
            headers=headers,
            body_limit=request.body_limit,
            repeatable=request.method in _REPEATABLE or request.is_harmless,
            total=request.total,
        )

    def _concealing(self, answer: Answer, carried: Authorized) -> Answer:
        """The answer, which knows what errors must not repeat of it."""
        concealment = Concealment(tuple(_secrets(carried.fields)), self._names)
        return Answer(answer.status, answer.headers, answer.body, concealment)

    def _redirect_target(self, url: URL, answer: Answer) -> URL:
        """Where a redirect leads. Only within the registry: only blobs may be kept elsewhere."""
        target = self._location(url, answer)
        if Origin.of(target) != self._origin:
            raise RegistryFault(
                "the registry redirected to another server: not followed",
                operator_detail=f"from {self._origin} to {answer.concealment.for_operator(without_secrets(target))}",
                concern=Concern.REGISTRY_URL,
            )
        return target

    def _location(self, url: URL, answer: Answer) -> URL:
        """The address that a redirect names. Never from https to http."""
        try:
            target = url.join(URL(answer.headers.get("Location", ""), encoded=True))
            scheme = Origin.of(target).scheme
        except ValueError as error:
            raise RegistryFault("the registry redirected to something that is no http address") from error
        if url.scheme == "https" and scheme != "https":
            raise RegistryFault("the registry redirected from https to http: not followed")
        return target.with_user(None).with_fragment(None)


def _may_mean_expired(answer: Answer, carried: Authorized, started: float) -> bool:
    """Whether a refusal may be of a kept token that the registry accepted before. Some answer 400 or 403 then."""
    token = carried.token
    if token is None or not token.accepted or token.fetched_at >= started:
        return False
    stated = ErrorDocument.read(answer.body) if answer.status == 400 else None
    return answer.status == 403 or (answer.status == 400 and (stated is None or stated.code in _REFUSAL_CODES))


def _secrets(authorization: Mapping[str, str]) -> Iterator[str]:
    """All that an error message must not show: the credential, and the password that a Basic one holds."""
    for value in authorization.values():
        scheme, _, credential = value.partition(" ")
        yield credential
        if scheme == "Basic":
            yield base64.b64decode(credential).decode().partition(":")[2]
