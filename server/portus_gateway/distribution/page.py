"""A page of a listing, and the position at which the listing continues."""

from dataclasses import dataclass, replace
from typing import Generic, Literal, Self, TypeVar

Item = TypeVar("Item")

LARGEST_PAGE = 1000
"""The most items that a caller can ask for, and that a registry is asked for, in one page."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in a listing: after the item called `name`.

    `kind` says how the registry is asked for the rest. `after`: with `last=<name>`. `sliced`: for the whole list, of
    which the part after the name is taken, because this registry ignores `last`. `linked`: with `query`, because this
    registry's `Link` continues in a way that only the registry understands; the rest is what comes after the name in
    that page, or the whole page if the name is empty. `indexed`: the listing is the index's, and no registry is asked.
    """

    kind: Literal["after", "sliced", "linked", "indexed"]
    name: str
    query: str = ""


BY_NAME = Cursor("after", "")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items of a listing, in the registry's order. `str(item)` is the name of an item in the registry."""

    items: tuple[Item, ...]
    next: Cursor | None
    """Where the listing continues. None: this is its end."""
    place: Cursor = BY_NAME
    """How the listing continues within the page: a cursor whose name is to be filled in."""
    hides_names: bool = False
    """Whether names that the caller may not see were left out. `next` then says nothing about visible names."""

    def first(self, size: int) -> Self:
        """A page of at most `size` items. The rest of the items come after its cursor."""
        if len(self.items) <= size:
            return self
        return replace(self, items=self.items[:size], next=self.after(self.items[size - 1]))

    def after(self, item: Item) -> Cursor:
        """The position after an item of this page."""
        if self.next is not None and not self.hides_names and item is self.items[-1]:
            return self.next
        return replace(self.place, name=str(item))
