from portus_gateway.index.known_listings import KnownListings
from portus_gateway.index.store import IndexedRepository


def test_the_oldest_leave_when_there_are_too_many() -> None:
    listings = KnownListings(5)
    first, second = IndexedRepository("a", 1.0, ("v1", "v2")), IndexedRepository("b", 1.0, ("v1",))
    listings.keep((1, 1, 1.0), first)
    listings.keep((2, 1, 1.0), second)
    assert (listings.get((1, 1, 1.0)), listings.get((2, 1, 1.0))) == (first, second)
    listings.keep((3, 1, 1.0), IndexedRepository("c", 1.0))
    assert listings.get((1, 1, 1.0)) is None
    assert listings.get((2, 1, 1.0)) == second


def test_one_that_is_too_large_is_not_kept_and_none_leaves_for_it() -> None:
    listings = KnownListings(3)
    small = IndexedRepository("a", 1.0, ("v1",))
    listings.keep((1, 1, 1.0), small)
    listings.keep((2, 1, 1.0), IndexedRepository("b", 1.0, ("v1", "v2", "v3")))
    assert listings.get((2, 1, 1.0)) is None
    assert listings.get((1, 1, 1.0)) == small


def test_the_same_kept_twice_counts_once() -> None:
    listings = KnownListings(4)
    for _ in range(10):
        listings.keep((1, 1, 1.0), IndexedRepository("a", 1.0, ("v1",)))
    listings.keep((2, 1, 1.0), IndexedRepository("b", 1.0, ("v1",)))
    assert listings.get((1, 1, 1.0)) is not None
