"""Sends a request to the registry: once, with given credentials."""

from collections.abc import Awaitable, Callable, Mapping

from multidict import CIMultiDict
from yarl import URL

from portus_gateway.distribution.authorization import NOTHING, Authorized
from portus_gateway.distribution.concealment import Concealment, PrivateNames
from portus_gateway.distribution.exchange import Answer, Exchange, Request
from portus_gateway.distribution.origin import Origin
from portus_gateway.distribution.peer import REGISTRY, Peer
from portus_gateway.distribution.registry_request import REPEATABLE, RegistryRequest


class RegistrySender:
    """Sends requests to the registry at `origin`. Each answer knows what errors must not repeat of it.

    `downloads` sends the requests whose answers are read piece by piece: they have slots of their own, since their
    readers may be slow.
    """

    def __init__(self, origin: Origin, exchange: Exchange, downloads: Exchange, names: PrivateNames) -> None:
        self.origin = origin
        self._authority = URL(str(origin)).raw_authority
        self._exchange = exchange
        self._downloads = downloads
        self._names = names

    def url_of(self, request: RegistryRequest) -> URL:
        path, _, query = request.target.partition("?")
        # Built from its parts, because this takes half the time of parsing a text.
        return URL.build(
            scheme=self.origin.scheme, authority=self._authority, path=path, query_string=query, encoded=True
        )

    async def send(self, request: RegistryRequest, url: URL, carried: Authorized, peer: Peer = REGISTRY) -> Answer:
        """The answer of `peer` at `url`, whatever its status."""
        made = _request(request, url, peer)
        made.headers.update(carried.fields)
        return self._concealing(await self._exchange_for(request).send(made), carried)

    async def send_plain(self, request: RegistryRequest) -> Answer:
        """The registry's answer to the request without credentials, whatever its status."""
        return await self.send(request, self.url_of(request), NOTHING)

    async def send_authorized(
        self, request: RegistryRequest, url: URL, authorize: Callable[[], Awaitable[Authorized]]
    ) -> tuple[Answer, Authorized]:
        """The registry's answer, and what the request carried. `authorize` is called when the request has its slot."""
        carried = NOTHING

        async def credentials() -> Mapping[str, str]:
            nonlocal carried
            carried = await authorize()
            return carried.fields

        answer = await self._exchange_for(request).send(_request(request, url, REGISTRY), credentials)
        return self._concealing(answer, carried), carried

    def _exchange_for(self, request: RegistryRequest) -> Exchange:
        return self._exchange if request.open_body is None else self._downloads

    def _concealing(self, answer: Answer, carried: Authorized) -> Answer:
        return Answer(answer.status, answer.headers, answer.body, Concealment(carried.fields, self._names))


def _request(request: RegistryRequest, url: URL, peer: Peer) -> Request:
    headers = CIMultiDict({"Accept-Encoding": "identity"})
    headers["Accept"] = ", ".join(request.accept) if request.accept else "application/json"
    if request.method in REPEATABLE:
        # A cache in between must not answer with what was there before: a delete may be decided on it.
        headers["Cache-Control"] = "no-cache"
    if request.if_none_match:
        headers["If-None-Match"] = request.if_none_match
    if request.content_type:
        headers["Content-Type"] = request.content_type
    if request.range:
        headers["Range"] = request.range
    return Request(
        method=request.method,
        url=url,
        route=request.route,
        peer=peer,
        headers=headers,
        body_limit=request.body_limit,
        repeatable=request.method in REPEATABLE or request.is_harmless,
        total=request.total,
        content=request.content,
        open_body=request.open_body,
    )
