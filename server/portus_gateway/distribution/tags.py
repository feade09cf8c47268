"""GET /v2/<name>/tags/list: the tags of a repository (OCI distribution 1.1, "Listing Tags")."""

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import InvalidName
from portus_gateway.distribution.listed_names import listed_names
from portus_gateway.distribution.listing_requests import Subject
from portus_gateway.distribution.names import Repository, Tag, UnusableName, known_tag
from portus_gateway.distribution.page import Cursor, Page
from portus_gateway.distribution.paging import Listing
from portus_gateway.distribution.transport import Transport


class Tags:
    def __init__(self, transport: Transport) -> None:
        self._listing = Listing(transport, route="tags", field="tags")

    async def page(self, repository: Repository, size: int | None, after: Cursor | None) -> Page[Tag | UnusableName]:
        subject = Subject(
            f"/v2/{repository}/tags/list", f"repository:{repository}:pull", f"list the tags of {repository}"
        )
        page = await self._listing.page(subject, size, after)
        return Page(_tags(page.items), page.next, page.place)


def _tags(names: tuple[str, ...]) -> tuple[Tag | UnusableName, ...]:
    try:
        return tuple(map(known_tag, names))
    except InvalidName:
        # Some registries list the digests of untagged manifests among the tags.
        return listed_names((name for name in names if not _is_digest(name)), known_tag)


def _is_digest(name: str) -> bool:
    if ":" not in name:
        return False
    try:
        Digest(name)
    except InvalidName:
        return False
    return True
