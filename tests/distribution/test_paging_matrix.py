"""Whatever a registry does with `n`, `last` and `Link`: the pages are the whole list, in order, or an error says so."""

from typing import get_args

import pytest

from portus_gateway.distribution.errors import DistributionError, IncompleteListing, Unavailable
from portus_gateway.distribution.exchange import Answer
from portus_gateway.distribution.listing_requests import Subject
from portus_gateway.distribution.page import Cursor
from portus_gateway.distribution.paging import Listing, walk
from portus_gateway.distribution.registry_request import RegistryRequest
from tests.distribution.imitated_listing import PATH, ImitatedListing, Link, Size

SUBJECT = Subject(PATH, "", "list the catalog")
LIMIT = 100
# Around the multiples of the registry's limit, and of the page size that is asked for first.
COUNTS = (0, 1, 2, 3, 8, 99, 100, 101, 199, 200, 201, 250, 999, 1000, 1001, 1500, 2000, 2001)
PAGE_SIZES = (None, 3, 100, 1000)

# Nobody can tell these from a registry that sends everything at once, and no question gets the rest.
UNKNOWABLE = [("fixed", False, "none"), ("fixed", False, "full pages only")]
BEHAVIOURS = [
    pytest.param(size, last, link, id=f"{size}-{'last' if last else 'ignores last'}-{link}".replace(" ", "_"))
    for size in get_args(Size)
    for last in (True, False)
    for link in get_args(Link)
    if (size, last, link) not in UNKNOWABLE
]


def names(count: int) -> list[str]:
    return [f"team/app-{number:04}" for number in range(count)]


def listing_of(registry: ImitatedListing) -> Listing:
    return Listing(registry, route="catalog", field="repositories")


async def listed(listing: Listing, size: int | None) -> list[str]:
    found: list[str] = []
    async for page in walk(lambda cursor: listing.page(SUBJECT, size, cursor)):
        assert size is None or len(page.items) <= size
        found.extend(page.items)
    return found


def may_be_incomplete(registry: ImitatedListing) -> bool:
    """Whether no question to the registry tells that the list is whole, or nothing gets the rest."""
    count = len(registry.names)
    if registry.last:
        return False
    if registry.link == "own cursor":
        return registry.size == "unknown" and count == LIMIT
    match registry.size:
        case "ignored":
            return False
        case "small default" if registry.link != "none":
            # Its links say `last`, which it ignores, and every list without `n` has one.
            return count >= LIMIT
        case "honoured" | "small default":
            return count in (100, 200, 250, 1000, 2000)
        case "clamped but with a larger default":
            return count == LIMIT
        case _:
            return count >= LIMIT


@pytest.mark.parametrize(("size", "last", "link"), BEHAVIOURS)
async def test_the_pages_are_the_whole_list_or_there_is_an_error(size: Size, last: bool, link: Link) -> None:
    for count in COUNTS:
        for page_size in PAGE_SIZES:
            if page_size == 3 and count > 250:
                continue
            registry = ImitatedListing(names(count), size=size, last=last, link=link, limit=LIMIT)
            try:
                found = await listed(listing_of(registry), page_size)
            except DistributionError:
                assert may_be_incomplete(registry), (count, page_size)
            else:
                assert found == registry.names, (count, page_size)


@pytest.mark.parametrize(("size", "last", "link"), BEHAVIOURS)
async def test_what_was_learned_from_one_list_holds_for_others(size: Size, last: bool, link: Link) -> None:
    registry = ImitatedListing([], size=size, last=last, link=link, limit=LIMIT)
    listing = listing_of(registry)
    for count in (100, 250, 3, 100, 2000, 5, 101, 1, 0, 1000, 201):
        registry.names = names(count)
        try:
            found = await listed(listing, None)
        except DistributionError:
            assert may_be_incomplete(registry), count
        else:
            assert found == registry.names, count


@pytest.mark.parametrize("status", [400, 405, 413, 414, 422])
@pytest.mark.parametrize("link", get_args(Link))
async def test_a_page_size_may_be_refused_with_any_status(status: int, link: Link) -> None:
    registry = ImitatedListing(names(250), size="refused", link=link, refusal=status)
    listing = listing_of(registry)
    assert await listed(listing, 1000) == registry.names
    registry.requests.clear()
    assert await listed(listing, 1000) == registry.names
    # Remembered.
    assert not [query for query in registry.requests if "n=1000" in query]


@pytest.mark.parametrize("count", [2, 1000, 1001, 2000])
async def test_a_registry_that_starts_over_after_the_last_name_is_listed_once(count: int) -> None:
    registry = ImitatedListing(names(count), link="none", starts_over=True)
    assert await listed(listing_of(registry), 1000) == registry.names


@pytest.mark.parametrize("page_size", [1, 3, 100])
async def test_a_small_page_is_cut_from_a_large_one(page_size: int) -> None:
    registry = ImitatedListing(names(12), link="none")
    page = await listing_of(registry).page(SUBJECT, page_size, None)
    assert list(page.items) == registry.names[:page_size]
    assert registry.requests[0] == "n=1000"


@pytest.mark.parametrize("size", get_args(Size))
@pytest.mark.parametrize("link", get_args(Link))
async def test_another_replica_continues_a_list(size: Size, link: Link) -> None:
    """It has learned nothing of the registry yet."""
    registry = ImitatedListing(names(250), size=size, link=link, limit=LIMIT)
    found: list[str] = []
    cursor = None
    while True:
        page = await listing_of(registry).page(SUBJECT, 60, cursor)
        found.extend(page.items)
        cursor = page.next
        if cursor is None:
            break
    assert found == registry.names


async def test_a_limit_that_looks_like_the_whole_list_is_an_error() -> None:
    registry = ImitatedListing(names(250), size="clamped", last=False, link="none")
    with pytest.raises(IncompleteListing, match="may have more names than it lists") as caught:
        await listing_of(registry).page(SUBJECT, None, None)
    assert caught.value.reason == "LISTING_INCOMPLETE"
    # The number is for the operator: a caller may not see all of them.
    assert "100" not in str(caught.value)
    assert "100 names" in caught.value.operator_detail


async def test_a_registry_without_order_is_listed_whole() -> None:
    """go-containerregistry's own registry lists its repositories in another order each time."""
    registry = ImitatedListing(names(1000), last=False, link="none", shuffled=True)
    assert await listed(listing_of(registry), 30) == registry.names


@pytest.mark.parametrize("limit", [2, 7, 10, 64, 999])
@pytest.mark.parametrize("link", get_args(Link))
async def test_any_limit_is_found(limit: int, link: Link) -> None:
    for count in (limit - 1, limit, limit + 1, 2 * limit, 2 * limit + 1):
        for size in ("clamped", "refused", "fixed"):
            registry = ImitatedListing(names(count), size=size, link=link, limit=limit)
            assert await listed(listing_of(registry), None) == registry.names


async def test_a_registry_without_pages_is_asked_once_for_a_list_when_that_is_known() -> None:
    registry = ImitatedListing(list(reversed(names(1001))), size="ignored", last=False, link="none")
    listing = listing_of(registry)
    assert await listed(listing, None) == names(1001)
    assert registry.requests == ["n=1000", "n=1", "last=team%2Fapp-0001&n=1000"]
    registry.requests.clear()
    assert await listed(listing, None) == names(1001)
    assert registry.requests == [""]


async def test_names_that_came_in_another_order_cannot_be_continued_in_a_sorted_list() -> None:
    """Its links say `last`, which it ignores: after the first page, only the whole list helps."""
    registry = ImitatedListing(list(reversed(names(1500))), last=False)
    listing = listing_of(registry)
    with pytest.raises(Unavailable, match="start again with the first page") as caught:
        await listed(listing, None)
    assert caught.value.reason == "LISTING_CHANGED"
    # It is known now.
    assert await listed(listing, 400) == names(1500)


async def test_a_registry_that_has_pages_by_now_is_listed_from_the_beginning() -> None:
    registry = ImitatedListing(names(300), size="clamped", link="by name")
    listing = listing_of(registry)
    with pytest.raises(Unavailable, match="start again with the first page"):
        await listing.page(SUBJECT, None, Cursor("sliced", "team/app-0001"))
    assert await listed(listing, None) == names(300)


async def test_a_registry_with_cursors_of_its_own_is_not_asked_for_names_again() -> None:
    registry = ImitatedListing(names(1500), last=False, link="own cursor")
    listing = listing_of(registry)
    for count in (1500, 2000, 2000):
        registry.names = names(count)
        registry.requests.clear()
        assert await listed(listing, None) == registry.names
    assert registry.requests == ["n=1000", "cursor=1000&n=1000"]


async def test_the_beginning_is_not_taken_for_what_comes_after_a_name_that_is_gone() -> None:
    registry = ImitatedListing(names(1500), link="none", starts_over=True)
    page = await listing_of(registry).page(SUBJECT, None, Cursor("after", "team/zebra"))
    assert (page.items, page.next) == ((), None)


async def test_a_page_costs_one_request() -> None:
    registry = ImitatedListing(names(2500))
    assert await listed(listing_of(registry), None) == registry.names
    assert registry.requests == ["n=1000", "last=team%2Fapp-0999&n=1000", "last=team%2Fapp-1999&n=1000"]


async def test_a_limit_that_is_marked_with_a_link_is_no_reason_to_ask_again() -> None:
    registry = ImitatedListing(names(250), size="clamped")
    listing = listing_of(registry)
    for count, requests in ((250, 3), (100, 2), (100, 1)):
        registry.names = names(count)
        registry.requests.clear()
        assert await listed(listing, None) == registry.names
        assert len(registry.requests) == requests


class Shrinking(ImitatedListing):
    """Whenever it has listed everything, its last name is deleted."""

    async def send(self, request: RegistryRequest) -> Answer:
        answer = await super().send(request)
        if request.target.endswith("?n=1000"):
            self.names = self.names[:-1]
        return answer


async def test_a_last_name_that_is_deleted_meanwhile_is_no_reason_to_fail() -> None:
    registry = Shrinking(names(51))
    listing = listing_of(registry)
    for count in (51, 60):
        registry.names = names(count)
        assert await listed(listing, None) == names(count)
