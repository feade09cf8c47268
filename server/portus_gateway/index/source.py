"""What the index asks of the registry."""

from typing import Protocol

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.distribution.page import Cursor, Page


class Source(Protocol):
    """The registry itself: no answer comes from memory. Raises errors of `distribution.errors`, and only those."""

    async def list_repositories(self, size: int | None, after: Cursor | None = None) -> Page[Repository | UnusableName]:
        """A page of the catalog."""
        ...

    async def list_tags(
        self, repository: Repository, size: int | None, after: Cursor | None = None
    ) -> Page[Tag | UnusableName]:
        """A page of a repository's tags. Raises `NotFound`."""
        ...

    async def tag_digest(self, repository: Repository, tag: Tag, known: Digest | None) -> Digest:
        """The digest that a tag points to. Raises `NotFound`."""
        ...

    async def is_listed(self, repository: Repository) -> bool:
        """Whether the catalog lists the repository."""
        ...
