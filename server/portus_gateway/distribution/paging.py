"""Listings in pages, as registries really serve them.

A page names the next one in a `Link` field (OCI distribution 1.1, "Listing tags"). Beyond that, registries refuse a
page size that they find too large, ignore the page size altogether (distribution 2.8, for tags), leave the link out in
the middle of a listing (some object stores), or repeat it.
"""

import json
from bisect import bisect_right
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar
from urllib.parse import quote, unquote

from yarl import URL

from portus_gateway.distribution.errors import InvalidRequest, RegistryFault, UntrustedAnswer
from portus_gateway.distribution.exchange import Answer
from portus_gateway.distribution.failures import failure
from portus_gateway.distribution.link import next_target
from portus_gateway.distribution.origin import Origin
from portus_gateway.distribution.page import Cursor, Page
from portus_gateway.distribution.transport import RegistryRequest, Transport

Item = TypeVar("Item")

LISTING_LIMIT = 16 * 1024 * 1024
LARGEST_PAGE = 1000

# How a cursor goes on: by what the registry's own link said; after a name, where the registry gave no link; or after
# a name in the whole list, where the registry answers with all of it whatever it is asked.
_LINKED = "linked:"
_AFTER = "behind:"
_SLICED = "sliced:"
_LONGEST_CURSOR = 4096
_TOO_LARGE = "PAGINATION_NUMBER_INVALID"


class Listing:
    """One kind of listing (`catalog` or `tags`) of one registry. Remembers the page size that the registry bears."""

    def __init__(self, transport: Transport, route: str, field: str) -> None:
        self._transport = transport
        self._route = route
        self._field = field
        self._largest = LARGEST_PAGE

    async def page(self, path: str, scope: str, action: str, size: int, after: Cursor | None) -> Page[str]:
        """A page of at most `size` names, unless a registry without paging is asked for its first."""
        asked = min(size, self._largest)
        while True:
            try:
                page = await self._page(path, scope, action, asked, after)
            except InvalidRequest as error:
                if error.reason != _TOO_LARGE or asked == 1:
                    raise
                asked //= 2
                continue
            if asked < size:
                # The registry's limit (`catalog.maxentries`) can be any; it is looked for once.
                self._largest = min(asked, self._largest)
            return page

    async def _page(self, path: str, scope: str, action: str, size: int, after: Cursor | None) -> Page[str]:
        mode, position = _read(after)
        answer = await self._transport.send(
            RegistryRequest(
                method="GET",
                target=f"{path}?{_query(mode, position, size)}",
                route=self._route,
                scope=scope,
                body_limit=LISTING_LIMIT,
            )
        )
        if answer.status != 200:
            raise failure(answer, action)
        names = self._names(answer)
        if mode == _SLICED:
            return _slice(names, position, size)
        following = self._following(answer, path, names, size)
        if mode == _AFTER and position in names:
            # The registry ignores `last`: this is the page that we have had.
            return Page((), None)
        if len(names) > size:
            return self._cut(names, size, following, mode)
        if following is not None and following == after:
            raise RegistryFault(f"{action}: the registry's Link leads back to the same page")
        return Page(tuple(names), following)

    def _cut(self, names: list[str], size: int, following: Cursor | None, mode: str) -> Page[str]:
        """A page of a registry that sends more than it was asked for. No name of it may get lost."""
        linked = following is not None and following.text.startswith(_LINKED)
        if mode == _AFTER or (following is not None and linked and _last_of(following) == names[-1]):
            # It goes on behind a name: behind another one, too, then.
            return Page(tuple(names[:size]), Cursor(_AFTER + names[size - 1]))
        if linked or mode == _LINKED:
            # It goes on in words of its own, which are for whole pages.
            return Page(tuple(names), following if linked else None)
        return _slice(names, "", size)

    def _names(self, answer: Answer) -> list[str]:
        try:
            document = json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise UntrustedAnswer(f"the registry's {self._route} answer is not JSON") from error
        # `"tags": null` is how distribution writes 'none'; no such field at all is another document.
        if not isinstance(document, dict) or self._field not in document:
            raise UntrustedAnswer(f"the registry's {self._route} answer has no field {self._field!r}")
        names = document[self._field]
        if names is None:
            return []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UntrustedAnswer(f"the registry's {self._route} answer: {self._field!r} is no list of strings")
        return names

    def _following(self, answer: Answer, path: str, names: list[str], size: int) -> Cursor | None:
        target = next_target(answer.headers.getall("Link", []))
        if target is not None:
            return Cursor(_LINKED + self._linked_query(target, path))
        if names and len(names) == size:
            return Cursor(_AFTER + names[-1])
        return None

    def _linked_query(self, target: str, path: str) -> str:
        """The query of a link's target, which has to be this very listing: nothing else is followed."""
        base = URL(f"{self._transport.origin}{path}", encoded=True)
        try:
            url = base.join(URL(target, encoded=True))
            same = Origin.of(url) == self._transport.origin
        except ValueError as error:
            raise RegistryFault("the registry's Link is no http address") from error
        if not same or unquote(url.raw_path) != unquote(path):
            raise RegistryFault(
                f"the registry's Link for the next page leads elsewhere than to {path}: it was not followed."
                " Behind a proxy, `http.host` and `http.relativeurls` of the registry decide what it writes there"
            )
        query = url.raw_query_string
        if not query or len(_LINKED + query) > _LONGEST_CURSOR or not _is_plain(query):
            raise RegistryFault("the registry's Link for the next page has no usable query")
        return query


async def walk(page: Callable[[Cursor | None], Awaitable[Page[Item]]]) -> AsyncGenerator[Page[Item], None]:
    """All pages, one after the other. Raises `RegistryFault` where they go round in circles."""
    seen: set[Cursor] = set()
    cursor: Cursor | None = None
    while True:
        current = await page(cursor)
        yield current
        cursor = current.next
        if cursor is None:
            return
        if cursor in seen:
            raise RegistryFault("the registry's paging goes round in circles: a page names one before it as the next")
        seen.add(cursor)


def _read(cursor: Cursor | None) -> tuple[str, str]:
    if cursor is None:
        return "", ""
    mode, position = cursor.text[: len(_LINKED)], cursor.text[len(_LINKED) :]
    return mode, position


def valid_cursor(cursor: Cursor) -> bool:
    """Whether a cursor that came back from outside is of a form that `Listing.page` gives out."""
    text = cursor.text
    mode, position = _read(cursor)
    if len(text) > _LONGEST_CURSOR or not position:
        return False
    return mode in (_AFTER, _SLICED) or (mode == _LINKED and _is_plain(position))


def _query(mode: str, position: str, size: int) -> str:
    if mode == _LINKED:
        # As the registry wrote it, to the byte, but for the page size: a caller may change that between pages.
        others = [pair for pair in position.split("&") if pair.partition("=")[0] != "n"]
        return "&".join([*others, f"n={size}"])
    if mode == _AFTER:
        return f"last={quote(position, safe='')}&n={size}"
    return f"n={size}"


def _last_of(cursor: Cursor) -> str | None:
    """The name behind which the registry's own link goes on; None where it says that in another way."""
    for pair in cursor.text.removeprefix(_LINKED).split("&"):
        name, _, value = pair.partition("=")
        if name == "last":
            return unquote(value)
    return None


def _slice(names: list[str], after: str, size: int) -> Page[str]:
    ordered = sorted(set(names))
    start = bisect_right(ordered, after) if after else 0
    items = tuple(ordered[start : start + size])
    more = start + size < len(ordered)
    return Page(items, Cursor(_SLICED + items[-1]) if more else None)


def _is_plain(query: str) -> bool:
    return query.isascii() and query.isprintable() and not any(c in query for c in ' #<>"\\')
