"""What a caller is told about a delete that was refused: what to do, and about which tags."""

import pytest

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.operations.deletion import BatchDeletion, BlobDeletion, Deleted, ManifestDeletion, TagDeletion
from portus_gateway.operations.deletion_errors import ExpectedDigestRequired, TagMoved, manifest_in_use
from portus_gateway.operations.manifest_dependents import Dependents

DIGEST, OTHER = Digest.of(b"one"), Digest.of(b"two")
MANIFEST = f"team/app@{DIGEST}"


def tags(*names: str) -> tuple[Tag, ...]:
    return tuple(map(Tag, names))


WITH_TAGS = "To delete it with its tags"
WITH_INDEXES = "Delete the indexes that contain it first"
UNREADABLE = "Try again later. Set force only if none of them contains it"


@pytest.mark.parametrize(
    ("dependents", "sentences"),
    [
        (Dependents(tags("a")), {WITH_TAGS}),
        (Dependents((), tags("b")), {WITH_INDEXES}),
        (Dependents((), (), tags("c")), {UNREADABLE}),
        (Dependents(tags("a"), tags("b"), tags("c")), {WITH_TAGS, WITH_INDEXES, UNREADABLE}),
    ],
)
def test_it_is_told_what_can_be_done_and_nothing_else(dependents: Dependents, sentences: set[str]) -> None:
    message = str(manifest_in_use(MANIFEST, dependents))
    assert message.startswith(f"{MANIFEST} is still needed, so nothing was deleted.")
    assert {sentence for sentence in (WITH_TAGS, WITH_INDEXES, UNREADABLE) if sentence in message} == sentences


@pytest.mark.parametrize(("count", "end"), [(10, "v9."), (11, "v9 and 1 more.")])
def test_ten_tags_are_named(count: int, end: str) -> None:
    error = manifest_in_use(MANIFEST, Dependents(tags(*(f"v{number}" for number in range(count)))))
    assert str(error).endswith(end)
    # All of them are in the details.
    assert len(error.precondition_violations) == count


def test_a_tag_that_moved_is_told_with_both_digests() -> None:
    error = TagMoved("team/app:1.0", expected=DIGEST, actual=OTHER)
    assert str(error).startswith(f"team/app:1.0 points to {OTHER}, not to {DIGEST}, so nothing was deleted.")
    assert error.facts == {"expected": DIGEST.text, "actual": OTHER.text}


def test_a_digest_that_is_missing_is_told_as_a_field() -> None:
    error = ExpectedDigestRequired()
    assert str(error).startswith("expected_digest: required")
    assert [violation.field for violation in error.field_violations] == ["expected_digest"]


def test_a_delete_is_neither_forced_nor_a_trial_unless_that_is_said() -> None:
    repository = Repository("team/app")
    manifest = ManifestDeletion(repository=repository, digest=DIGEST)
    assert (manifest.force, manifest.validate_only, manifest.expected_tags) == (False, False, frozenset())
    assert not BlobDeletion(repository=repository, digest=DIGEST).validate_only
    tag = TagDeletion(repository=repository, tag=Tag("1.0"))
    assert (tag.validate_only, tag.expected_digest) == (False, None)
    assert not Deleted(digest=DIGEST).emulated


def part(digest: Digest = DIGEST, repository: str = "team/app", *, validate_only: bool = False) -> ManifestDeletion:
    return ManifestDeletion(repository=Repository(repository), digest=digest, validate_only=validate_only)


@pytest.mark.parametrize("validate_only", [False, True])
def test_a_batch_has_one_repository_and_is_a_trial_as_a_whole(validate_only: bool) -> None:
    for parts in ((DIGEST,), (DIGEST, OTHER)):
        batch = BatchDeletion(tuple(part(digest, validate_only=validate_only) for digest in parts))
        assert (batch.repository, batch.validate_only) == (Repository("team/app"), validate_only)


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ((), "one repository"),
        ((part(), part(OTHER, "team/other")), "one repository"),
        ((part(), part(OTHER, validate_only=True)), "validate_only is the same"),
        ((part(), part(OTHER), part()), "a digest occurs twice"),
    ],
)
def test_another_batch_is_none(parts: tuple[ManifestDeletion, ...], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        BatchDeletion(parts)
