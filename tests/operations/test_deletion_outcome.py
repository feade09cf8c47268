"""What a record of the audit log says about a delete that failed."""

import asyncio

import pytest

from portus_gateway.access.errors import Hidden
from portus_gateway.aio.carried_through import SHUTDOWN
from portus_gateway.distribution.errors import DeleteOutcomeUnknown, Denied
from portus_gateway.operations.deletion_errors import ManifestDeletedToo, ManifestInUse
from portus_gateway.operations.deletion_outcome import described, first_of, outcome_of


@pytest.mark.parametrize(
    ("error", "reason", "message"),
    [
        (Denied("the registry says no"), "DENIED", "the registry says no"),
        (Hidden("x"), "POLICY_DENIED", "the caller may not see the repository"),
        (asyncio.CancelledError(SHUTDOWN), "CANCELLED", "the gateway stopped before"),
        (asyncio.CancelledError(), "CANCELLED", "the caller went away or ran out of time"),
        (GeneratorExit(), "CANCELLED", "the caller went away or ran out of time"),
        # Its text may be anything.
        (ValueError("secret"), "BUG", "ValueError"),
    ],
    ids=repr,
)
def test_the_reason_and_the_message(error: BaseException, reason: str, message: str) -> None:
    record = described(error)
    assert record["reason"] == reason
    assert str(record["message"]).startswith(message)
    assert "secret" not in str(record)


@pytest.mark.parametrize("kind", [asyncio.CancelledError, GeneratorExit])
@pytest.mark.parametrize(
    ("shutdown", "approved", "outcome"),
    [(True, True, "unknown"), (True, False, "cancelled"), (False, True, "cancelled"), (False, False, "cancelled")],
)
def test_a_delete_that_was_broken_off_may_have_been_sent_only_if_the_gateway_stopped(
    kind: type[BaseException], shutdown: bool, approved: bool, outcome: str
) -> None:
    error = kind(SHUTDOWN) if shutdown else kind()
    assert outcome_of(error, validate_only=False, approved=approved) == outcome


def test_a_tag_whose_manifest_went_too_was_deleted() -> None:
    error = ManifestDeletedToo("team/app:1.0 was deleted, but its manifest does not exist any more")
    assert outcome_of(error, validate_only=False, approved=True) == "deleted"
    assert described(error)["reason"] == "MANIFEST_DELETED_TOO"


@pytest.mark.parametrize(("count", "counted"), [(50, {}), (51, {"tags_count": 51})])
def test_fifty_tags_are_named_and_more_are_counted(count: int, counted: dict[str, int]) -> None:
    tags = [f"v{number:03}" for number in range(count)]
    assert first_of("tags", tags) == {"tags": tags[:50], **counted}


def test_the_tags_of_indexes_are_there_if_there_are_some() -> None:
    assert "index_tags" not in described(ManifestInUse("no", tags=["a"]))
    in_use = described(ManifestInUse("no", index_tags=["b"], unreadable_index_tags=["c"]))
    assert (in_use["tags"], in_use["index_tags"]) == ([], ["b", "c"])


def test_the_indexes_that_were_not_deleted_are_there_if_there_are_some() -> None:
    assert "kept_indexes" not in described(ManifestInUse("no", tags=["a"]))
    assert described(ManifestInUse("no", kept_indexes=["sha256:1"]))["kept_indexes"] == ["sha256:1"]


def test_of_an_unknown_outcome_all_tags_are_named() -> None:
    error = DeleteOutcomeUnknown("the registry did not answer")
    error.tags = tuple(f"v{number:03}" for number in range(100))
    assert described(error)["tags"] == list(error.tags)
