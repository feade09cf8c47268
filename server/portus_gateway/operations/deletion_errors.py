"""Why a delete is refused before anything is deleted."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Final

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.names import Tag
from portus_gateway.errors import FieldViolation, GatewayError, PreconditionViolation
from portus_gateway.operations.manifest_dependents import Dependents

_MOST_NAMED: Final = 10


class DeletionRefused(GatewayError):
    """A delete that the guard refused. Nothing was deleted."""

    reason = "DELETION_REFUSED"


class ManifestInUse(DeletionRefused):
    """Tags or tagged indexes still need the manifest.

    `TAGGED`: tags that the caller did not expect point to it, and would be deleted with it (Portus #974). `REFERENCED`:
    only indexes contain it, or may contain it, and could not be pulled without it: tagged ones, and those of the same
    batch that were not deleted. The violations name all of both kinds.
    """

    reason = "TAGGED"

    def __init__(
        self,
        message: str,
        *,
        tags: Iterable[str] = (),
        index_tags: Iterable[str] = (),
        unreadable_index_tags: Iterable[str] = (),
        kept_indexes: Iterable[str] = (),
    ) -> None:
        self.tags = tuple(tags)
        self.index_tags = tuple(index_tags)
        self.unreadable_index_tags = tuple(unreadable_index_tags)
        self.kept_indexes = tuple(kept_indexes)
        super().__init__(message, reason="TAGGED" if self.tags else "REFERENCED")
        counts = {
            "tags": len(self.tags),
            "index_tags": len(self.index_tags),
            "unreadable_index_tags": len(self.unreadable_index_tags),
            "kept_indexes": len(self.kept_indexes),
        }
        self.facts = {name: str(count) for name, count in counts.items() if count}
        self.precondition_violations = tuple(
            _in_turn(
                [PreconditionViolation("TAGGED", tag) for tag in self.tags],
                [
                    PreconditionViolation("REFERENCED", tag, "its index contains the manifest")
                    for tag in self.index_tags
                ],
                [
                    PreconditionViolation("REFERENCED", tag, "its index cannot be read and may contain the manifest")
                    for tag in self.unreadable_index_tags
                ],
                [
                    PreconditionViolation("REFERENCED", digest, "this index of the batch was not deleted")
                    for digest in self.kept_indexes
                ],
            )
        )


class UnusableTags(DeletionRefused):
    """The registry lists names that are not valid tags. The registry cannot be asked what they point to."""

    reason = "UNUSABLE_TAGS"


class IsManifest(DeletionRefused):
    """DeleteBlob was given the digest of a manifest."""

    reason = "IS_MANIFEST"


class TagMoved(DeletionRefused):
    """The tag does not point to the digest that the caller expected."""

    reason = "TAG_MOVED"

    def __init__(self, tag: str, *, expected: Digest, actual: Digest) -> None:
        super().__init__(f"{tag} points to {actual}, not to {expected}, so nothing was deleted. Look at it again")
        self.facts = {"expected": expected.text, "actual": actual.text}


class ExpectedDigestRequired(DeletionRefused):
    """The delete of a tag would be emulated, and its request does not say what the tag has to point to."""

    reason = "INVALID_FIELD"
    field_violations = (FieldViolation("expected_digest", "required: this registry deletes by digest only"),)

    def __init__(self) -> None:
        super().__init__(
            "expected_digest: required, because this registry deletes by digest only, and the gateway has to move the"
            " tag in order to delete it. Nothing was deleted"
        )


class ManifestDeletedToo(GatewayError):
    """A tag was deleted, and its manifest did not exist any more afterwards."""

    reason = "MANIFEST_DELETED_TOO"


class DeletionDisabled(DeletionRefused):
    """This gateway does not delete."""

    reason = "DELETION_DISABLED"


def manifest_in_use(manifest: str, dependents: Dependents) -> ManifestInUse:
    """The error for a manifest, `team/app@sha256:...`, that `dependents` need."""
    # Each sentence says first what to do: a long message is cut at its end.
    tags = _names(dependents.tags)
    index_tags = _names(dependents.index_tags)
    unreadable = _names(dependents.unreadable_index_tags)
    sentences = [f"{manifest} is still needed, so nothing was deleted."]
    if tags:
        sentences.append(
            "To delete it with its tags, name them in expected_tags, or set force to delete it with any tags. Tags that"
            f" were not named: {_shown(tags)}."
        )
    if index_tags:
        sentences.append(
            "Delete the indexes that contain it first, or set force to leave them incomplete. Their tags:"
            f" {_shown(index_tags)}."
        )
    if unreadable:
        sentences.append(
            "The registry did not send some tagged indexes, or not in a readable form. Try again later. Set force only"
            f" if none of them contains it. Their tags: {_shown(unreadable)}."
        )
    kept = tuple(digest.text for digest in dependents.kept_indexes)
    if kept:
        sentences.append(
            "Indexes of the same batch contain it and were not deleted. Their results say why. Delete them first, or"
            f" set force to leave them incomplete: {_shown(kept)}."
        )
    return ManifestInUse(
        " ".join(sentences), tags=tags, index_tags=index_tags, unreadable_index_tags=unreadable, kept_indexes=kept
    )


def unusable_tags(manifest: str, dependents: Dependents) -> UnusableTags:
    """The error for a manifest, `team/app@sha256:...`, to which names that are not valid tags may point."""
    names = _shown([repr(str(name)[:80]) for name in dependents.unusable_tags])
    return UnusableTags(
        f"Names that are not valid tags may point to {manifest}, so nothing was deleted. Set force to delete it anyway."
        f" The names: {names}"
    )


def _shown(tags: Sequence[str]) -> str:
    more = f" and {len(tags) - _MOST_NAMED} more" if len(tags) > _MOST_NAMED else ""
    return ", ".join(tags[:_MOST_NAMED]) + more


def _names(tags: Iterable[Tag]) -> tuple[str, ...]:
    return tuple(tag.name for tag in tags)


def _in_turn(*kinds: Sequence[PreconditionViolation]) -> Iterator[PreconditionViolation]:
    """Takes one of each kind in turn. A status has room for some only, and every kind must be among them."""
    return (violation for turn in zip_longest(*kinds) for violation in turn if violation is not None)
