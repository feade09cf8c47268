"""Pages of the catalog for a caller that sees only some of it.

Nothing about a page may depend on what is hidden: it is filled up with what is visible, it names a next page only where
more that is visible follows, and the cursor to it ends at a visible name. A cursor holds the name that it goes on
behind in plain sight, so that one is asked for that ends where the visible part of the page does. What is left is
time: the longer a stretch of hidden names, the longer the page takes.
"""

from collections.abc import Callable

from portus_gateway.distribution.errors import RegistryFault, Unavailable
from portus_gateway.distribution.names import Repository, UnusableName
from portus_gateway.registry.protocol import Cursor, Page, Registry

Name = Repository | UnusableName
Sees = Callable[[Name], bool]

# Pages as large as they come: a registry's cost is in the number of its pages, not in their size.
_SCANNED = 1000
_MOST_CUTS = 8


async def visible_page(registry: Registry, sees: Sees, size: int, after: Cursor | None) -> Page[Name]:
    """A page of `size` visible names, or of all that are left. Reads on through the catalog until it has them."""
    names: list[Name] = []
    async for start, page in _Pages(registry, after):
        wanted = size - len(names)
        end = _end_of(page.items, sees, wanted)
        if end is None:
            names.extend(filter(sees, page.items))
            continue
        following = page.next
        if not any(map(sees, page.items[end:])) and not await _any_visible(registry, sees, following):
            return Page((*names, *filter(sees, page.items)), None)
        if end == len(page.items):
            return Page((*names, *filter(sees, page.items)), following)
        cut = await _cut(registry, sees, start, end)
        return Page((*names, *filter(sees, cut.items)), cut.next)
    return Page(tuple(names), None)


async def visible_stretch(registry: Registry, sees: Sees, size: int, after: Cursor | None) -> Page[Name]:
    """The next visible names, as soon as there are any.

    Its cursor may hold a hidden name: it must not leave the gateway.
    """
    async for _, page in _Pages(registry, after, size):
        names = tuple(filter(sees, page.items))
        if names:
            return Page(names, page.next)
    return Page((), None)


class _Pages:
    """The pages of the registry's catalog from a cursor on, each with the cursor that it begins at."""

    def __init__(self, registry: Registry, after: Cursor | None, size: int = _SCANNED) -> None:
        self._registry = registry
        self._size = size
        self._seen: set[Cursor | None] = {after}
        self._start = after
        self._over = False

    def __aiter__(self) -> "_Pages":
        return self

    async def __anext__(self) -> tuple[Cursor | None, Page[Name]]:
        if self._over:
            raise StopAsyncIteration
        start = self._start
        page = await self._registry.list_repositories(self._size, start)
        if page.next in self._seen and page.next is not None:
            raise RegistryFault("the registry's paging goes round in circles: a page names one before it as the next")
        self._seen.add(page.next)
        self._start = page.next
        self._over = page.next is None
        return start, page


async def _any_visible(registry: Registry, sees: Sees, after: Cursor | None) -> bool:
    if after is None:
        return False
    async for _, page in _Pages(registry, after):
        if any(map(sees, page.items)):
            return True
    return False


async def _cut(registry: Registry, sees: Sees, start: Cursor | None, end: int) -> Page[Name]:
    """The page from `start` on that ends at a visible name, `end` names on or earlier."""
    for _ in range(_MOST_CUTS):
        page = await registry.list_repositories(end, start)
        visible = [position for position, name in enumerate(page.items, 1) if sees(name)]
        if not visible:
            break
        if visible[-1] == len(page.items):
            return page
        # Others than a moment ago: somebody pushes, or the registry leaves out some names of each page.
        end = visible[-1]
    raise Unavailable("the catalog changed while it was listed: try again", reason="CATALOG_CHANGED")


def _end_of(names: tuple[Name, ...], sees: Sees, wanted: int) -> int | None:
    """How far into `names` the wanted number of visible ones reaches; None where there are fewer."""
    for position, name in enumerate(names, 1):
        if sees(name):
            wanted -= 1
            if wanted == 0:
                return position
    return None
