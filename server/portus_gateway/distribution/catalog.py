"""GET /v2/_catalog: the repositories. This is Docker's API; OCI distribution has none."""

from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.error_document import ErrorDocument
from portus_gateway.distribution.errors import DistributionError, Unsupported
from portus_gateway.distribution.exchange import Answer
from portus_gateway.distribution.failures import failure
from portus_gateway.distribution.listed_names import listed_names
from portus_gateway.distribution.listing_requests import Subject
from portus_gateway.distribution.names import Repository, UnusableName
from portus_gateway.distribution.page import Cursor, Page
from portus_gateway.distribution.paging import Listing
from portus_gateway.distribution.transport import Transport

_CATALOG = Subject("/v2/_catalog", "registry:catalog:*", "list the catalog")


class Catalog:
    def __init__(self, transport: Transport) -> None:
        self._listing = Listing(transport, route="catalog", field="repositories", failure_of=_failure)

    async def page(self, size: int | None, after: Cursor | None) -> Page[Repository | UnusableName]:
        page = await self._listing.page(_CATALOG, size, after)
        return Page(listed_names(page.items, Repository), page.next, page.place)


def _failure(answer: Answer, action: str) -> DistributionError:
    if answer.status == 404 and ErrorDocument.read(answer.body) is None:
        return Unsupported(
            f"{action}: the registry answered 404, as registries without a catalog do", concern=Concern.REGISTRY_URL
        )
    return failure(answer, action)
