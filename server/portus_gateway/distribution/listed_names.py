"""The names of a page, and how many of them may be none."""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from portus_gateway.distribution.errors import AnswerTooLarge, InvalidName
from portus_gateway.distribution.names import UnusableName

Name = TypeVar("Name")

MOST_UNUSABLE: Final = 10_000
"""The most names that are not valid in one listing. Each takes more memory than a valid one."""


def listed_names(names: Iterable[str], parse: Callable[[str], Name]) -> tuple[Name | UnusableName, ...]:
    """The names of a page. `parse` raises `InvalidName` for one that is not valid; it is shown as it is.

    So one bad name is neither hidden nor ends the listing. Raises `AnswerTooLarge` if there are very many of them.
    """
    found: list[Name | UnusableName] = []
    unusable = 0
    for name in names:
        try:
            found.append(parse(name))
        except InvalidName as error:
            unusable += 1
            if unusable > MOST_UNUSABLE:
                raise too_many_unusable() from None
            found.append(UnusableName.of(error))
    return tuple(found)


def too_many_unusable() -> AnswerTooLarge:
    """The error for a listing with very many names that are not valid."""
    return AnswerTooLarge(f"the registry lists more than {MOST_UNUSABLE} names that are not valid")
