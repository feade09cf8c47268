"""Deletes and their results."""

from collections.abc import Collection
from dataclasses import dataclass

from portus_client.errors import RegistryError


@dataclass(frozen=True, slots=True)
class ManifestDeletion:
    """One delete of a batch, with the arguments of `RegistryClient.delete_manifest`."""

    digest: str
    """Digest of the manifest."""
    expected_tags: Collection[str] = ()
    """Tags that may be deleted with it."""
    force: bool = False
    """Whether to delete it even if other tags point to it or tagged indexes need it."""


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
class DeletionResult:
    """The result of one delete of a batch."""

    index: int
    """Position of the delete in the batch, from 0."""
    deletion: ManifestDeletion
    """The delete that was requested."""
    outcome: DeletedManifest | RegistryError
    """What was deleted, or the error that `delete_manifest` would raise."""


@dataclass(frozen=True, slots=True)
class DeletedTag:
    """The result of deleting a tag. With `validate_only` it says what a delete would do."""

    digest: str
    """The digest that the tag pointed to. The manifest still exists."""


@dataclass(frozen=True, slots=True)
class DeletedBlob:
    """The result of deleting a blob. With `validate_only` it says what a delete would do."""

    digest: str
    """The deleted digest."""
