"""The catalog for a caller that may see only some of it."""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias

from portus_gateway.distribution.names import Repository, UnusableName
from portus_gateway.distribution.paging import walk
from portus_gateway.registry.protocol import Cursor, Page, Registry

Name: TypeAlias = "Repository | UnusableName"


async def visible_page(
    registry: Registry, sees: Callable[[Name], bool], size: int | None, after: Cursor | None
) -> Page[Name]:
    """The visible names of the next page that has any, at most `size` of them. The last page may have none.

    `next` may be the position after a hidden name, so it must not leave the gateway, and that it exists says nothing
    about visible names. The position after an item of the page (`Page.after`) names a visible repository.
    """
    pages = walk(lambda cursor: registry.list_repositories(None, cursor), after)
    async with aclosing(pages):
        async for page in pages:
            visible = replace(page, items=tuple(filter(sees, page.items)), hides_names=True)
            if visible.items or page.next is None:
                return visible if size is None else visible.first(size)
    raise AssertionError("a listing has a page")
