"""Listings in pages, as registries really serve them.

A registry that follows OCI distribution 1.1 ("Listing Tags") takes the page size `n` and the name `last` after which
the page begins, and sends a `Link` if more follows. Real registries ignore `n` or `last` or both, refuse an `n` that
is too large for them, send fewer names than asked for without a word, or leave out the `Link`. So a page without a
`Link` is the end of a listing only if that is proven.
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from enum import Enum, auto
from operator import le
from typing import Final, TypeVar

from portus_gateway.distribution.errors import (
    AnswerTooLarge,
    DistributionError,
    IncompleteListing,
    NotFound,
    RegistryFault,
    Unavailable,
    UntrustedAnswer,
)
from portus_gateway.distribution.exchange import Answer
from portus_gateway.distribution.failures import failure
from portus_gateway.distribution.link import continues_after
from portus_gateway.distribution.listed_names import MOST_UNUSABLE, too_many_unusable
from portus_gateway.distribution.listing_requests import ListingRequests, NamesAnswer, QueryRefused, Subject
from portus_gateway.distribution.names import UnusableName
from portus_gateway.distribution.page import BY_NAME, Cursor, Page
from portus_gateway.distribution.paging_behaviour import PagingBehaviour, could_be_a_limit
from portus_gateway.distribution.transport import Transport

Item = TypeVar("Item")

MOST_NAMES: Final = 1_000_000
"""The most names of a listing that is read to its end."""
MOST_PAGES: Final = 100_000
"""The most pages of such a listing. Registries with the smallest pages list a hundred names at a time."""

# How registries without pages answer to a request for a page.
_NO_ANSWER = (QueryRefused, NotFound, RegistryFault, UntrustedAnswer)


class _Rest(Enum):
    """What is known of what comes after a page without a `Link`."""

    NONE = auto()
    SOME = auto()
    UNKNOWN = auto()


class Listing:
    """One kind of listing (`catalog` or `tags`) of one registry. It learns how the registry serves that kind."""

    def __init__(
        self,
        transport: Transport,
        *,
        route: str,
        field: str,
        failure_of: Callable[[Answer, str], DistributionError] = failure,
    ) -> None:
        self._known = PagingBehaviour()
        self._requests = ListingRequests(transport, self._known, route=route, field=field, failure_of=failure_of)
        self._learning = asyncio.Lock()

    async def page(self, subject: Subject, size: int | None, after: Cursor | None) -> Page[str]:
        """A page of at most `size` names, or of as many as the registry sends at a time if `size` is None.

        The registry is always asked for pages as large as it takes. Raises `IncompleteListing` if there may be more
        names than the registry can be asked for, and `Unavailable` if the listing changed so that it has to be read
        from its beginning again.
        """
        try:
            page = await self._page(subject, after)
        except QueryRefused as refused:
            raise refused.error from None
        return page if size is None else page.first(size)

    async def _page(self, subject: Subject, after: Cursor | None) -> Page[str]:
        if after is None:
            whole = await self._whole(subject) if self._known.has_no_pages else None
            return await self._after(subject, "") if whole is None else _sliced(whole, "")
        match after.kind:
            case "after":
                return await self._after(subject, after.name)
            case "linked":
                return await self._linked(subject, after)
            case "sliced":
                whole = await self._whole(subject)
                if whole is None:
                    raise _changed(subject)
                return _sliced(whole, after.name)
            case "indexed":
                raise ValueError("a position in the index is not one in the registry")

    async def _after(self, subject: Subject, last: str) -> Page[str]:
        answer = await self._requests.after(subject, last)
        if last and await self._starts_over(subject, last, answer):
            self._known.honours_last = False
            return await self._rest_of_whole(subject, last, answer)
        return await self._continued(subject, last, answer)

    async def _linked(self, subject: Subject, cursor: Cursor) -> Page[str]:
        page = await self._continued(subject, "", await self._requests.of_query(subject, cursor.query))
        if not cursor.name:
            return page
        if cursor.name in page.items:
            start = page.items.index(cursor.name) + 1
        elif _is_sorted(page.items):
            start = bisect_right(page.items, cursor.name)
        else:
            raise _changed(subject)
        return Page(page.items[start:], page.next, page.place)

    async def _rest_of_whole(self, subject: Subject, last: str, answer: NamesAnswer) -> Page[str]:
        """The names after `last`, up to which the listing was read in the registry's order."""
        # If the registry ignores the size too, every answer is the whole listing.
        whole = answer.names if self._known.ignores_size else await self._whole(subject)
        if whole is None or (last and not _is_sorted(whole)):
            # That order is lost, and only it said which names came before `last`.
            raise _changed(subject)
        return _sliced(whole, last)

    async def _continued(self, subject: Subject, last: str, answer: NamesAnswer) -> Page[str]:
        """The page of an answer, and how the listing continues after it."""
        names, known = answer.names, self._known
        known.saw_page(answer.count)
        if answer.next_query is not None:
            self._learn_from_link(answer)
            if known.honours_last and names and continues_after(answer.next_query, names[-1]):
                return Page(names, Cursor("after", names[-1]))
            if answer.next_query == answer.query:
                raise RegistryFault(f"{subject.action}: the registry's Link leads back to the same page")
            return Page(names, Cursor("linked", "", answer.next_query), Cursor("linked", "", answer.query))
        rest = await self._rest(subject, last, answer)
        if rest is _Rest.UNKNOWN:
            return await self._rest_of_whole(subject, last, answer)
        place = BY_NAME if known.honours_last else Cursor("linked", "", answer.query)
        return Page(names, Cursor("after", names[-1]) if rest is _Rest.SOME else None, place)

    async def _rest(self, subject: Subject, last: str, answer: NamesAnswer) -> _Rest:
        """What comes after a page that has no `Link`. `last` is the name that the page begins after."""
        known = self._known
        if known.is_end(answer.count, answer.size):
            return _Rest.NONE
        if known.sends_links is not None:
            return await self._asked_for_rest(subject, answer)
        # Of several listings at the same time, only one learns, and all use what it finds.
        async with self._learning:
            if known.sends_links is None:
                await self._learn(subject, last)
            if known.is_end(answer.count, answer.size):
                return _Rest.NONE
            return await self._asked_for_rest(subject, answer)

    async def _learn(self, subject: Subject, last: str) -> None:
        """Asks for a page of one name: does the registry take the size, and does it send a `Link`?"""
        known = self._known
        try:
            answer = await self._requests.of_size(subject, last, 1)
        except _NO_ANSWER:
            known.sends_links = False
            return
        known.ignores_size = answer.count > 1
        known.sends_links = answer.next_query is not None
        self._learn_from_link(answer)

    def _learn_from_link(self, answer: NamesAnswer) -> None:
        if answer.next_query is None or not answer.names:
            return
        known = self._known
        known.sends_links = True
        known.links_its_limits |= answer.size is None or answer.count < answer.size
        if not continues_after(answer.next_query, answer.names[-1]):
            known.links_have_cursors = True
        elif known.honours_last is None:
            known.honours_last = True

    async def _asked_for_rest(self, subject: Subject, answer: NamesAnswer) -> _Rest:
        """Asks for the names after the last but one. If the last one is among them, `last` is honoured."""
        known, names = self._known, answer.names
        # If a registry's links contain cursors of its own, only a missing link marks the end.
        unproven = _Rest.NONE if known.marks_every_end else _Rest.UNKNOWN
        if known.honours_last is False:
            return unproven
        before = names[:-1] or names
        expected = names[len(before) :]
        try:
            following = await self._requests.after(subject, before[-1])
        except _NO_ANSWER:
            return unproven
        if not set(before).isdisjoint(following.names):
            known.honours_last = False
            return unproven
        if not known.honours_last and not set(expected).issubset(following.names):
            if known.links_have_cursors:
                known.honours_last = False
            return unproven
        known.honours_last = True
        # The last name itself may have been deleted meanwhile.
        if following.next_query is not None or not set(following.names).issubset(expected):
            return _Rest.SOME
        known.proved_whole(answer.count)
        return _Rest.NONE

    async def _starts_over(self, subject: Subject, last: str, answer: NamesAnswer) -> bool:
        """Whether the registry, asked for the names after `last`, answered with the first ones."""
        if last in answer.names:
            return True
        if not answer.names or answer.names[0] > last:
            return False
        # The registry may only have another order than that of the characters.
        beginning = await self._requests.after(subject, "")
        return beginning.names[:1] == answer.names[:1]

    async def _whole(self, subject: Subject) -> tuple[str, ...] | None:
        """All names, in the registry's order, from a registry that ignores `last` and sends no `Link`.

        None: it sent a `Link` after all.
        """
        whole = await self._requests.of_size(subject, "", None)
        if whole.next_query is not None:
            self._known.sends_links = True
            return None
        if await self._ignores_size(subject, whole.count):
            return whole.names
        # The registry may have a default page size, or a largest one.
        while (larger := await self._of_size_if_taken(subject, 2 * whole.count + 1)) and larger.count > whole.count:
            whole = larger
        if larger is not None and larger.count < whole.count:
            return whole.names
        if larger is not None and larger.names != whole.names and set(larger.names) == set(whole.names):
            # The order differs from answer to answer. With a limit, the names would differ too.
            return whole.names
        if could_be_a_limit(whole.count):
            raise IncompleteListing(
                f"{subject.action}: the registry may have more names than it lists. It ignores `last` and sends no"
                " Link, so the rest cannot be asked for",
                # A caller that may not see all names must not learn their number.
                operator_detail=f"{whole.count} names, however many it is asked for",
            )
        return whole.names

    async def _ignores_size(self, subject: Subject, count: int) -> bool:
        known = self._known
        if known.ignores_size is None and count > 1:
            answer = await self._of_size_if_taken(subject, 1)
            known.ignores_size = answer is not None and answer.count > 1
        return bool(known.ignores_size) or count == 0

    async def _of_size_if_taken(self, subject: Subject, size: int) -> NamesAnswer | None:
        try:
            return await self._requests.of_size(subject, "", size)
        except _NO_ANSWER:
            return None


async def walk(
    page: Callable[[Cursor | None], Awaitable[Page[Item]]], after: Cursor | None = None
) -> AsyncGenerator[Page[Item], None]:
    """The pages of a listing from `after` on. `page` answers with the page at a cursor.

    Raises `RegistryFault` if the pages repeat, and `AnswerTooLarge` if the listing seems to have no end: a registry can
    make up a new cursor for each page, and readers keep what they have read.
    """
    # The hashes, because a cursor may have 4 KiB.
    seen = {hash(after)}
    names = unusable = 0
    while True:
        current = await page(after)
        names += len(current.items)
        unusable += sum(isinstance(item, UnusableName) for item in current.items)
        if names > MOST_NAMES:
            raise AnswerTooLarge(f"the registry's listing seems to have no end: it has more than {MOST_NAMES} names")
        if unusable > MOST_UNUSABLE:
            raise too_many_unusable()
        yield current
        after = current.next
        if after is None:
            return
        if hash(after) in seen:
            raise RegistryFault("the registry's pages repeat: a page names an earlier one as the next")
        if len(seen) == MOST_PAGES:
            raise AnswerTooLarge(f"the registry's listing seems to have no end: it has more than {MOST_PAGES} pages")
        seen.add(hash(after))


def _sliced(names: Iterable[str], last: str) -> Page[str]:
    ordered = sorted(names)
    return Page(tuple(ordered[bisect_right(ordered, last) :]), None, Cursor("sliced", ""))


def _is_sorted(names: Sequence[str]) -> bool:
    return all(map(le, names, names[1:]))


def _changed(subject: Subject) -> Unavailable:
    return Unavailable(
        f"{subject.action}: the list changed while it was read: start again with the first page",
        reason="LISTING_CHANGED",
    )
