"""What a caller wants deleted, and what was deleted."""

from dataclasses import dataclass
from typing import Protocol

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
class Deleted:
    """The tags that a manifest had before its delete. Both tuples are in lexical order; a blob has none."""

    tags: tuple[Tag, ...] = ()
    """Tags that are gone, or would be."""
    remaining_tags: tuple[Tag, ...] = ()
    """Tags that still lead to a manifest."""


class Deletion(Protocol):
    """Deletes. `GuardedDeletion` does it; others go around it."""

    async def delete(self, wanted: ManifestDeletion | BlobDeletion) -> Deleted:
        """Deletes what is wanted. Raises `DeletionRefused`, `NotFound`, and what the registry raises."""
        ...
