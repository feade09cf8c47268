from portus_gateway.index.known_pages import Key, KnownPage, KnownPages
from portus_gateway.index.store import CatalogPage, IndexedRepository


def known(tags: int) -> KnownPage:
    repository = IndexedRepository("app", 1.0, tuple(f"v{number}" for number in range(tags)), True)
    return KnownPage(1, [("app", 1.0, 1, 1)], CatalogPage((repository,), more=False))


def key(name: str) -> Key:
    return (name, "", 1000, True)


def test_the_page_that_was_listed_longest_ago_leaves() -> None:
    pages = KnownPages(20)
    first, second = known(8), known(8)
    pages.keep(key("a"), first)
    pages.keep(key("b"), second)
    assert pages.get(key("a")) is first
    pages.keep(key("c"), known(8))
    assert pages.get(key("a")) is first
    assert pages.get(key("b")) is None


def test_a_page_that_is_too_large_is_not_kept_and_none_leaves_for_it() -> None:
    pages = KnownPages(10)
    small = known(3)
    pages.keep(key("small"), small)
    pages.keep(key("large"), known(11))
    assert pages.get(key("large")) is None
    assert pages.get(key("small")) is small
