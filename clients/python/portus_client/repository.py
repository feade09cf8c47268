"""Repositories, as the catalog lists them."""

from dataclasses import dataclass
from datetime import datetime

from portus_client.errors import RegistryError


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository and, if requested, its tags."""

    name: str
    """The repository's name: `team/app`."""
    tags: tuple[str, ...] | None = None
    """Its tags in lexical order, empty if it has none. None if not requested or not known; see `tags_error`."""
    tags_error: RegistryError | None = None
    """Why the tags could not be listed. It does not mean that there are none. None if there was no error."""
    unusable_tags: tuple[str, ...] = ()
    """Names that the registry lists as tags but that are not valid tags. No request can be made for them."""


@dataclass(frozen=True, slots=True)
class CatalogPage:
    """One page of the catalog."""

    repositories: tuple[Repository, ...]
    """The repositories, in the registry's order. A page that is not the last can be short or empty."""
    next_page_token: str
    """The token of the next page. Empty on the last page."""
    as_of: datetime | None = None
    """What the page says was so at this time or later."""
    cursor: str = ""
    """Where a watch continues that is to see every change after this page. Empty without an index that is ready."""
