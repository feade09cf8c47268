"""The records of batches, and of deletes of tags."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import pytest
from structlog.testing import capture_logs

from portus.registry.v1.registry_service_pb2 import (
    BatchDeleteManifestsRequest,
    DeleteManifestRequest,
    DeleteTagRequest,
)
from portus_gateway.access.errors import AuditUnavailable, OutcomeNotRecorded, PermissionDenied
from portus_gateway.aio.carried_through import SHUTDOWN
from portus_gateway.devregistry import DevRegistry, Fault, image
from portus_gateway.distribution import DistributionClient
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import DeleteOutcomeUnknown
from portus_gateway.distribution.names import Tag
from portus_gateway.operations.audited_deletion import AuditedDeletion
from portus_gateway.operations.deletion import BatchDeletion, Deleted, ManifestDeletion, Outcome, TagDeletion
from portus_gateway.operations.deletion_errors import DeletionDisabled, ManifestInUse, TagMoved
from portus_gateway.operations.guarded_deletion import GuardedDeletion
from tests.access.calls import calling
from tests.access.policies import A
from tests.operations.audit_file import NAME, AuditFile
from tests.operations.conftest import configuration_of
from tests.scripted_registry import ScriptedRegistry


def part(digest: Digest, *expected_tags: str, validate_only: bool = False) -> ManifestDeletion:
    return ManifestDeletion(
        repository=NAME,
        digest=digest,
        expected_tags=frozenset(map(Tag, expected_tags)),
        validate_only=validate_only,
    )


async def delete(deletion: AuditedDeletion, *parts: ManifestDeletion) -> list[Outcome]:
    """The outcomes in the order of the parts."""
    found: list[Outcome] = []
    with calling(A, "BatchDeleteManifests"):
        async with aclosing(deletion.delete_batch(BatchDeletion(parts))) as outcomes:
            async for known in outcomes:
                found += known
    return sorted(found, key=lambda outcome: outcome.part)


def pushed(registry: DevRegistry, count: int) -> list[Digest]:
    """Manifests with the tags v0, v1 and so on."""
    return [Digest(registry.push(NAME.name, f"v{number}", content=image(str(number)))) for number in range(count)]


def outcomes_of(file: AuditFile, digests: Sequence[Digest]) -> list[object]:
    """The recorded outcomes of the digests. There is one attempt for each, and one outcome."""
    found = []
    for digest in digests:
        events = [record for record in file.records if record["digest"] == digest.text]
        assert [record["event"] for record in events] == ["attempt", "outcome"], events
        found.append(events[1]["outcome"])
    return found


async def test_each_part_is_recorded_before_and_after(
    file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry
) -> None:
    one, two = pushed(registry, 2)
    outcomes = await delete(AuditedDeletion(guarded, file.audit), part(one, "v0"), part(two))
    assert outcomes[0].result == Deleted(digest=one, tags=(Tag("v0"),))
    assert isinstance(outcomes[1].result, ManifestInUse)
    attempts = [record for record in file.records if record["event"] == "attempt"]
    what = {
        "request_id": "the-id",
        "caller": "token:a",
        "peer": "ipv4:127.0.0.1:1",
        "rpc": "BatchDeleteManifests",
        "repository": NAME.name,
        "force": False,
        "validate_only": False,
    }
    assert [{key: value for key, value in attempt.items() if key != "time"} for attempt in attempts] == [
        {"event": "attempt", **what, "digest": one.text, "expected_tags": ["v0"]},
        {"event": "attempt", **what, "digest": two.text, "expected_tags": []},
    ]
    assert outcomes_of(file, [one, two]) == ["deleted", "refused"]
    refused = next(record for record in file.records if record.get("outcome") == "refused")
    assert (refused["reason"], refused["tags"]) == ("TAGGED", ["v1"])


async def test_a_trial_is_recorded_as_one(file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry) -> None:
    (digest,) = pushed(registry, 1)
    await delete(AuditedDeletion(guarded, file.audit), part(digest, "v0", validate_only=True))
    assert outcomes_of(file, [digest]) == ["validated"]
    assert registry.holds(NAME.name, digest.text)


async def test_a_batch_that_is_refused_as_a_whole_has_an_outcome_for_each_part(file: AuditFile) -> None:
    digests = [Digest(f"sha256:{number:064}") for number in range(3)]
    disabled = GuardedDeletion(ScriptedRegistry({}), enabled=False, concurrency=2)
    with pytest.raises(DeletionDisabled):
        await delete(AuditedDeletion(disabled, file.audit), *map(part, digests))
    assert outcomes_of(file, digests) == ["refused"] * 3


@pytest.mark.parametrize(("end", "expected"), [((), "deleted"), ((SHUTDOWN,), "unknown")])
async def test_for_a_caller_who_goes_away_what_was_sent_has_its_outcome_and_the_rest_was_not_sent(
    file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry, end: tuple[str, ...], expected: str
) -> None:
    digests = pushed(registry, 10)
    with registry.inject(Fault(route="manifests", method="DELETE", answer_delay=0.2)):
        parts = [part(digest, f"v{number}") for number, digest in enumerate(digests)]
        task = asyncio.create_task(delete(AuditedDeletion(guarded, file.audit), *parts))
        await registry.requests.wait_for(1, method="DELETE")
        task.cancel(*end)
        with pytest.raises(asyncio.CancelledError):
            await task
    outcomes = outcomes_of(file, digests)
    sent = registry.requests.count(method="DELETE", status=202) if not end else 1
    assert sorted(map(str, outcomes)) == ["cancelled"] * (10 - sent) + [expected] * sent


async def test_who_stops_reading_leaves_an_outcome_for_each_part(
    file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry
) -> None:
    digests = pushed(registry, 3)
    deletion = AuditedDeletion(guarded, file.audit)
    absent = Digest(f"sha256:{0:064}")
    with calling(A, "BatchDeleteManifests"):
        batch = BatchDeletion((part(absent), *map(part, digests)))
        async with aclosing(deletion.delete_batch(batch)) as outcomes:
            assert [outcome.part for outcome in await anext(outcomes)] == [0]
    assert outcomes_of(file, [absent, *digests]) == ["refused", "cancelled", "cancelled", "cancelled"]


async def test_without_a_record_nothing_is_deleted(
    file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry
) -> None:
    digests = pushed(registry, 2)
    file.path.unlink()
    file.path.symlink_to("/dev/full")
    with capture_logs() as logs, pytest.raises(AuditUnavailable):
        await delete(AuditedDeletion(guarded, file.audit), *map(part, digests))
    assert len(logs) == 1
    assert registry.requests.count(method="DELETE") == 0


async def test_when_an_outcome_cannot_be_recorded_nothing_more_is_deleted(
    file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One delete at a time, and its outcome is recorded before the next one.
    monkeypatch.setattr("portus_gateway.operations.batch_deletion._MOST_AT_ONCE", 1)
    digests = pushed(registry, 3)
    with registry.inject(Fault(route="manifests", method="DELETE", answer_delay=0.2)), capture_logs() as logs:
        parts = [part(digest, f"v{number}") for number, digest in enumerate(digests)]
        task = asyncio.create_task(delete(AuditedDeletion(guarded, file.audit), *parts))
        await registry.requests.wait_for(1, method="DELETE")
        file.path.unlink()
        file.path.symlink_to("/dev/full")
        outcomes = await task
    assert [type(outcome.result) for outcome in outcomes] == [OutcomeNotRecorded, AuditUnavailable, AuditUnavailable]
    assert registry.requests.count(method="DELETE", status=202) == 1
    # The others were refused for want of a record: there is none of that.
    assert [log["event"] for log in logs] == ["the audit log cannot be written"]


async def test_a_part_needs_the_approval_of_whoever_wants_the_batch_too(
    file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry
) -> None:
    one, two = pushed(registry, 2)

    async def approve(number: int) -> None:
        if number == 0:
            raise PermissionDenied("not this one")

    found: list[Outcome] = []
    with calling(A, "BatchDeleteManifests"):
        batch = BatchDeletion((part(one, "v0"), part(two, "v1")))
        async with aclosing(AuditedDeletion(guarded, file.audit).delete_batch(batch, approve)) as outcomes:
            async for known in outcomes:
                found += known
    refused, deleted = sorted(found, key=lambda outcome: outcome.part)
    assert isinstance(refused.result, PermissionDenied)
    assert isinstance(deleted.result, Deleted)
    assert [registry.holds(NAME.name, digest.text) for digest in (one, two)] == [True, False]
    assert outcomes_of(file, [one, two]) == ["refused", "deleted"]


async def test_batches_that_are_refused_are_recorded_within_the_budget_of_their_caller(file: AuditFile) -> None:
    disabled = AuditedDeletion(GuardedDeletion(ScriptedRegistry({}), enabled=False, concurrency=2), file.audit)
    digests = [Digest(f"sha256:{number:064}") for number in range(3)]
    async with file.audit.summaries():
        file.audit.spend(A, 2 * 1024 * 1024)
        with pytest.raises(DeletionDisabled):
            await delete(disabled, *map(part, digests))
        assert file.records == []
    (summary,) = file.records
    assert (summary["event"], summary["caller"], summary["count"]) == ("refusals_left_out", A.name, 3)


# --- Tags -------------------------------------------------------------------------------------------------------


async def test_the_delete_of_a_tag_is_recorded(
    file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry
) -> None:
    (digest,) = pushed(registry, 1)
    other = Digest(f"sha256:{0:064}")
    deletion = AuditedDeletion(guarded, file.audit)
    with calling(A, "DeleteTag"):
        with pytest.raises(TagMoved):
            await deletion.delete(TagDeletion(repository=NAME, tag=Tag("v0"), expected_digest=other))
        await deletion.delete(TagDeletion(repository=NAME, tag=Tag("v0")))
    assert [(record["event"], record["tag"], record["expected_digest"]) for record in file.records] == [
        ("attempt", "v0", other.text),
        ("outcome", "v0", other.text),
        ("attempt", "v0", None),
        ("outcome", "v0", None),
    ]
    assert (file.records[1]["outcome"], file.records[1]["reason"]) == ("refused", "TAG_MOVED")
    assert (file.records[3]["outcome"], file.records[3]["digest"]) == ("deleted", digest.text)


async def test_what_is_refused_at_the_door_is_recorded_with_what_it_names(file: AuditFile) -> None:
    tag = DeleteTagRequest(repository="team/app", tag="1.0")
    batch = BatchDeleteManifestsRequest(
        repository="team/app", requests=[DeleteManifestRequest(digest=f"sha256:{number}") for number in range(60)]
    )
    await file.audit.refused(A, "ipv4:127.0.0.1:1", "DeleteTag", tag, PermissionDenied("no"))
    await file.audit.refused(A, "ipv4:127.0.0.1:1", "BatchDeleteManifests", batch, PermissionDenied("no"))
    first, second = file.records
    assert (first["repository"], first["tag"]) == ("team/app", "1.0")
    assert (second["repository"], second["digests_count"]) == ("team/app", 60)
    assert second["digests"] == [f"sha256:{number}" for number in range(50)]


async def test_an_emulated_delete_is_recorded_as_one(file: AuditFile) -> None:
    async with DevRegistry(flavour="2.8") as registry, DistributionClient(configuration_of(registry)) as client:
        (digest,) = pushed(registry, 1)
        guarded = GuardedDeletion(client, enabled=True, concurrency=2, emulate_tag_deletion=True)
        deletion = AuditedDeletion(guarded, file.audit)
        with calling(A, "DeleteTag"):
            await deletion.delete(TagDeletion(repository=NAME, tag=Tag("v0"), expected_digest=digest))
        assert registry.tags(NAME.name) == {}
    assert [(record["event"], record.get("emulated")) for record in file.records] == [
        ("attempt", None),
        ("attempt", True),
        ("outcome", True),
    ]
    assert file.records[2]["outcome"] == "deleted"


async def test_an_emulated_delete_that_failed_half_way_is_recorded_as_one(file: AuditFile) -> None:
    async with DevRegistry(flavour="2.8") as registry, DistributionClient(configuration_of(registry)) as client:
        (digest,) = pushed(registry, 1)
        guarded = GuardedDeletion(client, enabled=True, concurrency=2, emulate_tag_deletion=True)
        deletion = AuditedDeletion(guarded, file.audit)
        wanted = TagDeletion(repository=NAME, tag=Tag("v0"), expected_digest=digest)
        fault = Fault(route="manifests", method="DELETE", after=2, status=500)
        with calling(A, "DeleteTag"), registry.inject(fault), pytest.raises(DeleteOutcomeUnknown):
            await deletion.delete(wanted)
    last = file.records[-1]
    assert (last["outcome"], last["emulated"], last["reason"]) == ("unknown", True, "DELETE_OUTCOME_UNKNOWN")
