"""What a caller wants deleted, and what was deleted."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.names import Repository, Tag


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestDeletion:
    """The delete of a manifest, with `expected_tags`; with all its tags, and whatever needs it, if `force`."""

    repository: Repository
    digest: Digest
    expected_tags: frozenset[Tag] = frozenset()
    force: bool = False
    validate_only: bool = False
    """Whether to make all checks and delete nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobDeletion:
    """The delete of a blob."""

    repository: Repository
    digest: Digest
    validate_only: bool = False
    """Whether to make all checks and delete nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagDeletion:
    """The delete of a tag alone. Its manifest stays."""

    repository: Repository
    tag: Tag
    expected_digest: Digest | None = None
    """What the tag has to point to. None: anything."""
    validate_only: bool = False
    """Whether to make all checks and delete nothing."""


AnyDeletion: TypeAlias = ManifestDeletion | BlobDeletion | TagDeletion


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """What was deleted, or would be. The tuples are in lexical order."""

    digest: Digest
    """The manifest or blob. For a tag, what it pointed to."""
    tags: tuple[Tag, ...] = ()
    """Tags that are gone, or would be."""
    remaining_tags: tuple[Tag, ...] = ()
    """Tags that still lead to a manifest."""


async def no_approval() -> None:
    """Approves every delete that passed its checks."""


class Deletion(Protocol):
    """Carries out deletes. `GuardedDeletion` does it, and the others are decorators of it."""

    async def delete(self, wanted: AnyDeletion, approved: Callable[[], Awaitable[None]] = no_approval) -> Deleted:
        """Deletes what is wanted. Raises `DeletionRefused`, `NotFound`, and what the registry raises.

        `approved` is awaited once all checks have passed, before the registry is asked to delete anything. What it
        raises ends the delete.
        """
        ...
