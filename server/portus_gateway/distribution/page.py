"""A page of a listing, and where the listing goes on."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a listing goes on, in the client's own opaque words. Carries neither an address nor a right."""

    text: str


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items of a listing, and where it goes on; `next` is None at its end."""

    items: tuple[Item, ...]
    next: Cursor | None
