"""Repositories, as the catalog lists them."""

from dataclasses import dataclass

from portus_client.errors import RegistryError


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository, and its tags where they were asked for and could be listed."""

    name: str
    """The repository's name: `team/app`."""
    tags: tuple[str, ...] | None = None
    """Its tags, in lexical order; empty if it has none. None where they are unknown: not asked for, or not listed."""
    tags_error: RegistryError | None = None
    """Why the tags could not be listed: they are unknown then, not absent. None otherwise."""


@dataclass(frozen=True, slots=True)
class CatalogPage:
    """One page of the catalog."""

    repositories: tuple[Repository, ...]
    """The repositories, in the registry's order. A page can be short, even empty, and not be the last."""
    next_page_token: str
    """Where the next page begins. Empty: this was the last."""
