"""The tags of one repository, which may exist without any."""

from portus_gateway.access.errors import Hidden
from portus_gateway.distribution.errors import NotFound
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.registry.protocol import Cursor, Page, Registry


async def tag_page(
    registry: Registry, repository: Repository, size: int, after: Cursor | None
) -> Page[Tag | UnusableName]:
    """A page of at most `size` tags. It is empty for a repository that the catalog lists and that never had a tag.

    Raises `NotFound` if the registry knows no such repository, and nothing proves that it exists.
    """
    try:
        return await registry.list_tags(repository, size, after)
    except NotFound as error:
        # Hidden is what the policy says, not the registry.
        is_unknown = error.reason == "NAME_UNKNOWN" and not isinstance(error, Hidden)
        if not is_unknown or not await registry.is_in_catalog(repository):
            raise
        return Page((), None)
