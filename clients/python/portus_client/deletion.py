"""The results of deletes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeletedManifest:
    """The result of deleting a manifest. With `validate_only` it says what a delete would do."""

    digest: str
    """The deleted digest."""
    deleted_tags: tuple[str, ...]
    """The tags that were deleted with it, in lexical order."""
    remaining_tags: tuple[str, ...] = ()
    """The tags that pointed to it and still exist: the registry kept them, or they were moved meanwhile."""


@dataclass(frozen=True, slots=True)
class DeletedBlob:
    """The result of deleting a blob. With `validate_only` it says what a delete would do."""

    digest: str
    """The deleted digest."""
