"""The requests of a listing: what a registry answers to a page size `n` and a name `last`."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from portus_gateway.distribution.errors import DistributionError, UntrustedAnswer
from portus_gateway.distribution.exchange import Answer
from portus_gateway.distribution.failures import failure
from portus_gateway.distribution.link import next_query
from portus_gateway.distribution.paging_behaviour import PagingBehaviour, smaller_page
from portus_gateway.distribution.registry_request import RegistryRequest
from portus_gateway.distribution.transport import Transport

_LISTING_LIMIT = 16 * 1024 * 1024
# How registries and proxies answer to a query that they do not take.
_REFUSALS = frozenset({400, 405, 413, 414, 422})
_TOO_LARGE = "PAGINATION_NUMBER_INVALID"
_ENTRY_TYPES = frozenset({str, type(None)})


@dataclass(frozen=True, slots=True)
class Subject:
    """What is listed. `action` says it in words, for errors: `list the tags of team/app`."""

    path: str
    scope: str
    action: str


@dataclass(frozen=True, slots=True)
class NamesAnswer:
    """The answer to one request."""

    names: tuple[str, ...]
    """Each name once, in the registry's order."""
    count: int
    """How many entries the answer has. Some may be no names."""
    next_query: str | None
    """The query that the `Link` to the next page has."""
    query: str
    """The query that was asked."""
    size: int | None
    """The page size that was asked for, if it was chosen here."""


class QueryRefused(Exception):
    """The registry does not take a query. `error` is what it said."""

    def __init__(self, error: DistributionError) -> None:
        super().__init__(str(error))
        self.error = error


class ListingRequests:
    """Sends the requests of one kind of listing (`catalog` or `tags`), and keeps to the page size that is taken.

    `field` is the field of the answer that has the names. `failure_of` says which error an answer other than 200 is.
    Every method raises `QueryRefused` if the registry does not take the query.
    """

    def __init__(
        self,
        transport: Transport,
        known: PagingBehaviour,
        *,
        route: str,
        field: str,
        failure_of: Callable[[Answer, str], DistributionError] = failure,
    ) -> None:
        self._transport = transport
        self._known = known
        self._route = route
        self._field = field
        self._failure_of = failure_of

    async def after(self, subject: Subject, last: str) -> NamesAnswer:
        """The names after `last`, as many as the registry sends at a time. An empty `last` is the beginning."""
        size = self._known.page_size
        refusal: QueryRefused | None = None
        while True:
            try:
                answer = await self.of_size(subject, last, size)
            except QueryRefused as refused:
                if size is None:
                    raise
                if refusal is None and refused.error.reason != _TOO_LARGE:
                    await self._ensure_size_is_refused(subject, last, refused)
                refusal = refused
                size = smaller_page(size)
            else:
                if refusal is not None:
                    self._known.takes_at_most(size)
                return answer

    async def of_size(self, subject: Subject, last: str, size: int | None) -> NamesAnswer:
        """The answer to this page size, or to none if `size` is None."""
        parameters = [f"last={quote(last, safe='', errors='surrogatepass')}"] if last else []
        if size is not None:
            parameters.append(f"n={size}")
        return await self._answer(subject, "&".join(parameters), size)

    async def of_query(self, subject: Subject, query: str) -> NamesAnswer:
        """The answer to a query that the registry itself wrote."""
        return await self._answer(subject, query, None)

    async def _ensure_size_is_refused(self, subject: Subject, last: str, refused: QueryRefused) -> None:
        """Raises `refused` unless the registry answers without a page size."""
        try:
            await self.of_size(subject, last, None)
        except QueryRefused:
            raise refused from None

    async def _answer(self, subject: Subject, query: str, size: int | None) -> NamesAnswer:
        answer = await self._transport.send(
            RegistryRequest(
                method="GET",
                target=f"{subject.path}?{query}" if query else subject.path,
                route=self._route,
                scope=subject.scope,
                body_limit=_LISTING_LIMIT,
            )
        )
        if answer.status != 200:
            error = self._failure_of(answer, subject.action)
            raise QueryRefused(error) if answer.status in _REFUSALS else error
        entries = self._entries(answer)
        # An entry that is null or empty is not a name, but it had a place in the page.
        names = tuple(dict.fromkeys(filter(None, entries)))
        following = next_query(answer.headers.getall("Link", []), subject.path)
        return NamesAnswer(names, len(entries), following, query, size)

    def _entries(self, answer: Answer) -> list[str | None]:
        try:
            document = json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise UntrustedAnswer(f"the registry's {self._route} answer is not JSON") from error
        # `"tags": null` is how distribution writes "none". A document without the field is another document.
        if not isinstance(document, dict) or self._field not in document:
            raise UntrustedAnswer(f"the registry's {self._route} answer has no field {self._field!r}")
        entries = document[self._field]
        if entries is None:
            return []
        if not isinstance(entries, list) or not _ENTRY_TYPES.issuperset(map(type, entries)):
            raise UntrustedAnswer(f"the registry's {self._route} answer: {self._field!r} is not a list of strings")
        return entries
