"""What is known of how a registry serves a kind of listing. It is learned from the registry's answers."""

from dataclasses import dataclass

from portus_gateway.distribution.page import LARGEST_PAGE

_PAGE_SIZES = (LARGEST_PAGE, 500, 200, 100, 50, 20, 10, 5, 2, 1)
_LEADING_DIGITS_OF_LIMITS = frozenset({"1", "2", "25", "5"})
_SMALLEST_LIMIT = 10


@dataclass(slots=True)
class PagingBehaviour:
    """How one registry was seen to serve one kind of listing. None: it is not known yet."""

    page_size: int | None = LARGEST_PAGE
    """The largest page size that the registry takes. None: it refuses every size."""
    ignores_size: bool | None = None
    honours_last: bool | None = None
    sends_links: bool | None = None
    links_its_limits: bool = False
    """Whether a page that was shorter than asked for had a `Link`."""
    links_have_cursors: bool = False
    """Whether links continue in a way of the registry's own, and not with `last`."""
    _longest: int = 2
    """The largest number of entries in any page so far. No registry limits pages to one entry."""
    _longest_whole: int = 1
    """The largest number of entries in a page without `Link` that was proven to be the last one."""

    @property
    def has_no_pages(self) -> bool:
        """Whether there is no way to ask for a second page."""
        return self.honours_last is False and not self.links_have_cursors

    def saw_page(self, count: int) -> None:
        self._longest = max(self._longest, count)

    def proved_whole(self, count: int) -> None:
        self._longest_whole = max(self._longest_whole, count)

    def takes_at_most(self, page_size: int | None) -> None:
        """Notes that the registry refused page sizes above `page_size`. None: it refused every page size."""
        if self.page_size is not None and (page_size is None or page_size < self.page_size):
            self.page_size = page_size

    def is_end(self, count: int, size: int | None) -> bool:
        """Whether a page of `count` entries without a `Link` certainly ends its listing. `size` is the `n` asked for.

        A registry may have a limit below `size`. That limit is no less than the longest page seen. If the registry
        sends links, a page that is no longer than one that was proven to be the end is taken for an end too, unless its
        length is one that a limit could have.
        """
        if count == 0:
            return True
        if size is not None and count >= size:
            return False
        if count < self._longest:
            return True
        no_limit = self.links_its_limits or not could_be_a_limit(count)
        return self.sends_links is True and count <= self._longest_whole and no_limit

    @property
    def marks_every_end(self) -> bool:
        """Whether every page without a `Link` was the last one so far."""
        return self.links_have_cursors or self.links_its_limits


def smaller_page(size: int) -> int | None:
    """The page size to try after `size` was refused. None: no size at all."""
    return next((smaller for smaller in _PAGE_SIZES if smaller < size), None)


def could_be_a_limit(count: int) -> bool:
    """Whether `count` is a number that somebody would choose for a limit: 10, 50, 64, 100, 250, 1000 and the like."""
    if count < _SMALLEST_LIMIT:
        return False
    round_number = str(count).rstrip("0") in _LEADING_DIGITS_OF_LIMITS
    power_of_two = count & (count - 1) == 0
    return round_number or power_of_two
