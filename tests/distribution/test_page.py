from dataclasses import replace

from portus_gateway.distribution import Cursor, Page, Repository

ITEMS = tuple(Repository(name) for name in ("a", "b", "c"))
PAGE = Page(ITEMS, Cursor("linked", "", "page=2"), Cursor("linked", "", "page=1"))


def test_a_page_is_cut_at_an_item() -> None:
    cut = PAGE.first(2)
    assert cut.items == ITEMS[:2]
    assert cut.next == Cursor("linked", "b", "page=1")
    assert PAGE.first(3) is PAGE
    assert PAGE.first(4) is PAGE


def test_after_the_last_item_the_listing_continues_with_the_next_page() -> None:
    assert PAGE.after(ITEMS[2]) == PAGE.next
    assert replace(PAGE, next=None).after(ITEMS[2]) == Cursor("linked", "c", "page=1")


def test_if_names_were_left_out_the_position_is_that_of_a_visible_name() -> None:
    """The next page may begin after a hidden name."""
    assert replace(PAGE, hides_names=True).after(ITEMS[2]) == Cursor("linked", "c", "page=1")
