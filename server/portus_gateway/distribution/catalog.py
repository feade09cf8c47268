"""GET /v2/_catalog: the repositories (Docker's API; OCI has none)."""

from portus_gateway.distribution.errors import InvalidName
from portus_gateway.distribution.names import Repository, UnusableName
from portus_gateway.distribution.page import Cursor, Page
from portus_gateway.distribution.paging import Listing
from portus_gateway.distribution.transport import Transport


class Catalog:
    def __init__(self, transport: Transport) -> None:
        self._listing = Listing(transport, route="catalog", field="repositories")

    async def page(self, size: int, after: Cursor | None) -> Page[Repository | UnusableName]:
        page = await self._listing.page("/v2/_catalog", "registry:catalog:*", "list the catalog", size, after)
        return Page(tuple(_repository(name) for name in page.items), page.next)


def _repository(name: str) -> Repository | UnusableName:
    try:
        return Repository(name)
    except InvalidName as error:
        # Shown as it is, not dropped: one bad name must neither hide itself nor end the catalog.
        return UnusableName.of(error)
