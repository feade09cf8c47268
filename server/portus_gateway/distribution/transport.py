"""Requests to the registry, with whatever credentials it asks for."""

import base64
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from multidict import CIMultiDict
from yarl import URL

from portus_gateway.distribution.authorization import Authorization, Authorized
from portus_gateway.distribution.concealment import Concealment, PrivateNames
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.errors import RegistryFault, Unavailable
from portus_gateway.distribution.exchange import Answer, Exchange, Request
from portus_gateway.distribution.origin import Origin, without_secrets
from portus_gateway.distribution.peer import REGISTRY, STORAGE, Peer
from portus_gateway.distribution.tokens import Token

_MOST_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REPEATABLE = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryRequest:
    """What to ask the registry: relative to it, and without credentials."""

    method: str
    target: str
    """Path and query as they go on the wire: `/v2/team/app/tags/list?n=100`."""
    route: str
    scope: str
    """The scope that this is expected to need, in normal form (`challenge.normal_scopes`); empty for none. What the
    registry's challenge names goes first.
    """
    body_limit: int
    accept: tuple[str, ...] = ()
    if_none_match: str = ""
    follow_redirects: bool = True
    total: float | None = None

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


class Transport:
    """Sends requests to one registry."""

    def __init__(self, origin: Origin, exchange: Exchange, authorization: Authorization, names: PrivateNames) -> None:
        self._origin = origin
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
        path, _, query = request.target.partition("?")
        # Put together from its parts, which takes half as long as to read it from a text.
        url = URL.build(
            scheme=self._origin.scheme, authority=self._authority, path=path, query_string=query, encoded=True
        )
        for _ in range(1 + _MOST_REDIRECTS):
            answer = await self._admitted(request, url)
            if answer.status not in REDIRECTS or not request.follow_redirects:
                return answer
            if request.method not in _REPEATABLE:
                raise RegistryFault(f"the registry answered {request.method} {request.path} with a redirect")
            url = self._redirect_target(url, answer)
        raise RegistryFault(f"the registry redirected {request.path} more than {_MOST_REDIRECTS} times")

    async def fetch_from_storage(self, request: RegistryRequest, redirect: Answer) -> Answer:
        """The answer from where `redirect`, the registry's answer to a blob's GET, leads: to any http server.

        No credential goes to another server, and a challenge from there is only a status. The caller has to verify the
        content.
        """
        url = URL(str(self._origin)).with_path(request.path, encoded=True)
        for _ in range(_MOST_REDIRECTS):
            url = self._location(url, redirect)
            if Origin.of(url) == self._origin:
                redirect = await self._admitted(request, url)
            else:
                redirect = await self._exchange_once(request, url, {}, STORAGE)
            if redirect.status not in REDIRECTS:
                return redirect
        raise RegistryFault(f"the registry's storage redirected {request.path} more than {_MOST_REDIRECTS} times")

    async def _admitted(self, request: RegistryRequest, url: URL) -> Answer:
        started = time.monotonic()
        scopes: tuple[str, ...] = (request.scope,) if request.scope else ()
        authorized = await self._authorized(scopes)
        answer = await self._exchange_once(request, url, authorized.fields)
        while answer.status == 401:
            scopes = self._authorization.learn(answer, authorized) or scopes
            renewed = await self._authorized(scopes, refused=authorized.token)
            answer = await self._exchange_once(request, url, renewed.fields)
            if answer.status == 401 and (renewed.token is None or renewed.token.fetched_at >= started):
                raise self._authorization.refused(f"{request.method} {request.path}", scopes)
            # Once more, if that was a token of another scope, which was there already: it may have been revoked too.
            authorized = renewed
        return answer

    async def _authorized(self, scopes: tuple[str, ...], refused: Token | None = None) -> Authorized:
        try:
            return await self._authorization.authorize(scopes, refused)
        except Unavailable as error:
            # Whatever became of the request for a token, the one that wanted it has not left.
            error.sent = False
            raise

    async def _exchange_once(
        self, request: RegistryRequest, url: URL, authorization: Mapping[str, str], peer: Peer = REGISTRY
    ) -> Answer:
        headers = CIMultiDict({"Accept-Encoding": "identity", **authorization})
        headers["Accept"] = ", ".join(request.accept) if request.accept else "application/json"
        if request.if_none_match:
            headers["If-None-Match"] = request.if_none_match
        answer = await self._exchange.send(
            Request(
                method=request.method,
                url=url,
                route=request.route,
                peer=peer,
                headers=headers,
                body_limit=request.body_limit,
                repeatable=request.method in _REPEATABLE,
                total=request.total,
            )
        )
        concealment = Concealment(tuple(_secrets(authorization)), self._names)
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


def _secrets(authorization: Mapping[str, str]) -> Iterator[str]:
    """All that an error message must not show: the credential, and the password that a Basic one holds."""
    for value in authorization.values():
        scheme, _, credential = value.partition(" ")
        yield credential
        if scheme == "Basic":
            yield base64.b64decode(credential).decode().partition(":")[2]
