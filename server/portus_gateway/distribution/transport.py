"""Requests to the registry, with whatever credentials it asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from multidict import CIMultiDict
from yarl import URL

from portus_gateway.distribution.authorization import Authorization
from portus_gateway.distribution.challenge import normal_scopes
from portus_gateway.distribution.errors import RegistryFault
from portus_gateway.distribution.exchange import Answer, Exchange, Request
from portus_gateway.distribution.origin import Origin, without_secrets

_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REPEATABLE = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryRequest:
    """What to ask the registry: relative to it, and without credentials."""

    method: str
    target: str
    """Path and query as they go on the wire: `/v2/team/app/tags/list?n=100`."""
    route: str
    scope: str
    """The scope that this is expected to need. What the registry's challenge names goes first."""
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

    def __init__(self, origin: Origin, exchange: Exchange, authorization: Authorization) -> None:
        self._origin = origin
        self._exchange = exchange
        self._authorization = authorization

    @property
    def origin(self) -> Origin:
        return self._origin

    async def send(self, request: RegistryRequest) -> Answer:
        """The registry's answer, whatever its status but 401.

        A 401 is answered once, with a fresh token; it never loops. Raises `Denied` where that does not help, the
        `GatewaySetup` family where there is no token to be had, and what `Exchange.send` raises.
        """
        url = URL(f"{self._origin}{request.target}", encoded=True)
        scopes = normal_scopes(request.scope.split())
        authorized = await self._authorization.authorize(scopes)
        answer = await self._exchange_once(request, url, authorized.fields)
        if answer.status == 401:
            scopes = self._authorization.learn(answer) or scopes
            authorized = await self._authorization.authorize(scopes, refused=authorized.token)
            answer = await self._exchange_once(request, url, authorized.fields)
            if answer.status == 401:
                raise self._authorization.refused(f"{request.method} {request.path}", scopes)
        if answer.status in _REDIRECTS and request.follow_redirects:
            return await self._redirected(request, url, authorized.fields, answer)
        return answer

    async def _exchange_once(self, request: RegistryRequest, url: URL, authorization: Mapping[str, str]) -> Answer:
        headers = CIMultiDict({"Accept-Encoding": "identity", **authorization})
        headers["Accept"] = ", ".join(request.accept) if request.accept else "application/json"
        if request.if_none_match:
            headers["If-None-Match"] = request.if_none_match
        answer = await self._exchange.send(
            Request(
                method=request.method,
                url=url,
                route=request.route,
                peer="the registry",
                headers=headers,
                body_limit=request.body_limit,
                repeatable=request.method in _REPEATABLE,
                total=request.total,
            )
        )
        return _without_echo(answer, authorization) if answer.status >= 400 else answer

    async def _redirected(
        self, request: RegistryRequest, url: URL, authorization: Mapping[str, str], answer: Answer
    ) -> Answer:
        if request.method not in _REPEATABLE:
            raise RegistryFault(f"the registry answered {request.method} {request.path} with a redirect")
        for _ in range(_MOST_REDIRECTS):
            url = self._redirect_target(url, answer)
            answer = await self._exchange_once(request, url, authorization)
            if answer.status not in _REDIRECTS:
                return answer
        raise RegistryFault(f"the registry redirected {request.path} more than {_MOST_REDIRECTS} times")

    def _redirect_target(self, url: URL, answer: Answer) -> URL:
        """Where a redirect leads. Only within the registry: nothing that we read is kept elsewhere."""
        try:
            target = url.join(URL(answer.headers.get("Location", ""), encoded=True))
            origin = Origin.of(target)
        except ValueError as error:
            raise RegistryFault("the registry redirected to something that is no http address") from error
        if origin != self._origin:
            raise RegistryFault(
                f"the registry redirected to {without_secrets(target)}, which is not the registry: not followed"
            )
        return target.with_user(None).with_fragment(None)


def _without_echo(answer: Answer, authorization: Mapping[str, str]) -> Answer:
    """The answer without our own credential, which an error message would otherwise show."""
    body = answer.body
    for value in authorization.values():
        body = body.replace(value.partition(" ")[2].encode(), b"[redacted]")
    return replace(answer, body=body)
