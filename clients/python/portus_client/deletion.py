"""What a delete did."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeletedManifest:
    """The answer to the delete of a manifest."""

    digest: str
    """The digest that was deleted, or with `validate_only` would have been."""
    deleted_tags: tuple[str, ...]
    """The tags that went with it, or would have, in lexical order."""


@dataclass(frozen=True, slots=True)
class DeletedBlob:
    """The answer to the delete of a blob."""

    digest: str
    """The digest that was deleted, or with `validate_only` would have been."""
