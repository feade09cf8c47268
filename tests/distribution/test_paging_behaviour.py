import pytest

from portus_gateway.distribution.paging_behaviour import PagingBehaviour, could_be_a_limit, smaller_page


def test_a_full_page_is_no_end_however_long_other_pages_were() -> None:
    known = PagingBehaviour()
    known.saw_page(5001)
    known.proved_whole(5001)
    known.sends_links = True
    assert not known.is_end(1000, 1000)
    assert not known.is_end(1001, 1000)
    assert known.is_end(999, 1000)
    assert known.is_end(0, 1000)


def test_a_page_as_long_as_the_longest_may_be_limited() -> None:
    known = PagingBehaviour()
    known.saw_page(100)
    assert not known.is_end(100, 1000)
    assert known.is_end(99, 1000)


def test_page_sizes_become_smaller_and_end_with_none() -> None:
    sizes: list[int | None] = [1000]
    while (size := sizes[-1]) is not None:
        sizes.append(smaller_page(size))
    assert sizes == [1000, 500, 200, 100, 50, 20, 10, 5, 2, 1, None]


def test_a_refused_size_is_not_forgotten() -> None:
    known = PagingBehaviour()
    known.takes_at_most(100)
    known.takes_at_most(500)
    assert known.page_size == 100
    known.takes_at_most(None)
    known.takes_at_most(500)
    assert known.page_size is None


@pytest.mark.parametrize("count", [10, 16, 20, 25 * 10, 50, 64, 100, 128, 500, 1000, 1024, 2500, 5000, 10_000])
def test_numbers_that_somebody_would_choose_for_a_limit(count: int) -> None:
    assert could_be_a_limit(count)


@pytest.mark.parametrize("count", [1, 2, 4, 5, 8, 9, 11, 12, 26, 63, 99, 101, 300, 999, 1001, 1500])
def test_other_numbers(count: int) -> None:
    assert not could_be_a_limit(count)
