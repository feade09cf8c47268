"""GET /v2/<name>/tags/list: the tags of a repository (OCI distribution 1.1, "Listing tags")."""

from portus_gateway.distribution.errors import InvalidName, UntrustedAnswer
from portus_gateway.distribution.names import Repository, Tag, known_tag
from portus_gateway.distribution.page import Cursor, Page
from portus_gateway.distribution.paging import Listing
from portus_gateway.distribution.transport import Transport


class Tags:
    def __init__(self, transport: Transport) -> None:
        self._listing = Listing(transport, route="tags", field="tags")

    async def page(self, repository: Repository, size: int, after: Cursor | None) -> Page[Tag]:
        page = await self._listing.page(
            f"/v2/{repository}/tags/list",
            f"repository:{repository}:pull",
            f"list the tags of {repository}",
            size,
            after,
        )
        try:
            # Sorted here too: distribution 2.8 answers in the order of its storage.
            return Page(tuple(map(known_tag, sorted(page.items))), page.next)
        except InvalidName as error:
            raise UntrustedAnswer(f"list the tags of {repository}: {error}") from error
