"""Each delete leaves a record, and none happens without."""

# The files of a test are small and local.

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Literal

import pytest
from structlog.testing import capture_logs

from portus_gateway.access.audit_log import AuditLog, Record
from portus_gateway.access.caller import Caller
from portus_gateway.access.errors import AuditUnavailable, OutcomeNotRecorded, PermissionDenied, Unauthenticated
from portus_gateway.aio import spans
from portus_gateway.aio.carried_through import SHUTDOWN
from portus_gateway.devregistry import DevRegistry, Fault, image, multi_platform
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import DeleteOutcomeUnknown, NotFound, Unavailable
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.errors import GatewayError
from portus_gateway.operations.audited_deletion import AuditedDeletion
from portus_gateway.operations.deletion import (
    AnyDeletion,
    Approval,
    BatchDeletion,
    BlobDeletion,
    Deleted,
    ManifestDeletion,
    Outcome,
    TagDeletion,
    no_approval,
    no_approval_of_part,
)
from portus_gateway.operations.deletion_audit import DeletionAudit
from portus_gateway.operations.deletion_errors import DeletionDisabled, ManifestInUse
from portus_gateway.operations.guarded_deletion import GuardedDeletion
from tests.access.calls import calling
from tests.access.policies import STRANGER, A
from tests.operations.audit_file import NAME, AuditFile
from tests.recorded_spans import RecordedSpan
from tests.scripted_registry import ScriptedRegistry

ABSENT = Digest("sha256:" + "0" * 64)


async def delete(
    deletion: AuditedDeletion,
    digest: Digest,
    repository: Repository = NAME,
    *,
    expected_tags: Collection[str] = ("1.0",),
    force: bool = False,
    validate_only: bool = False,
) -> Deleted:
    wanted = ManifestDeletion(
        repository=repository,
        digest=digest,
        expected_tags=frozenset(map(Tag, expected_tags)),
        force=force,
        validate_only=validate_only,
    )
    with calling(A, "DeleteManifest"):
        return await deletion.delete(wanted)


async def delete_blob(deletion: AuditedDeletion, digest: Digest) -> None:
    with calling(A, "DeleteBlob"):
        await deletion.delete(BlobDeletion(repository=NAME, digest=digest))


async def test_a_delete_is_recorded_before_and_after(
    file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry
) -> None:
    digest = Digest(registry.push(NAME.name, "1.0", "latest"))
    assert await delete(AuditedDeletion(guarded, file.audit), digest, expected_tags=("latest", "1.0"))
    attempt, outcome = file.records
    what = {
        "request_id": "the-id",
        "caller": "token:a",
        "peer": "ipv4:127.0.0.1:1",
        "rpc": "DeleteManifest",
        "repository": NAME.name,
        "digest": digest.text,
        "expected_tags": ["1.0", "latest"],
        "force": False,
        "validate_only": False,
    }
    assert {key: value for key, value in attempt.items() if key != "time"} == {"event": "attempt", **what}
    assert {key: value for key, value in outcome.items() if key != "time"} == {
        "event": "outcome",
        **what,
        "outcome": "deleted",
        "tags": ["1.0", "latest"],
    }


async def test_the_records_of_a_traced_call_name_its_trace(
    file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry
) -> None:
    digest = Digest(registry.push(NAME.name, "1.0"))
    call = RecordedSpan()
    with spans.Step(call):
        await delete(AuditedDeletion(guarded, file.audit), digest, expected_tags=("1.0",))
    assert [record["trace_id"] for record in file.records] == [call.trace_id] * 2


class Single:
    """A deletion whose batches are single deletes, one after the other."""

    async def delete(self, wanted: AnyDeletion, approved: Approval = no_approval) -> Deleted:
        raise NotImplementedError

    async def delete_batch(
        self, wanted: BatchDeletion, approved: Callable[[int], Awaitable[None]] = no_approval_of_part
    ) -> AsyncGenerator[Sequence[Outcome], None]:
        for position, part in enumerate(wanted.parts):
            try:

                async def approve(*, emulated: bool = False, part: int = position) -> None:  # noqa: ARG001
                    await approved(part)

                yield [Outcome(position, await self.delete(part, approve))]
            except GatewayError as error:
                yield [Outcome(position, error)]


async def test_tags_that_remain_are_recorded_as_that(file: AuditFile) -> None:
    class Leaving(Single):
        async def delete(self, wanted: AnyDeletion, approved: Approval = no_approval) -> Deleted:
            await approved()
            return Deleted(digest=ABSENT, tags=(Tag("1.0"),), remaining_tags=(Tag("latest"),))

    await delete(AuditedDeletion(Leaving(), file.audit), ABSENT)
    assert (file.records[1]["tags"], file.records[1]["remaining_tags"]) == (["1.0"], ["latest"])


async def test_a_blob_too(file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry) -> None:
    manifest = registry.push(NAME.name, "1.0")
    assert registry.delete(NAME.name, manifest)
    with pytest.raises(NotFound):
        await delete_blob(AuditedDeletion(guarded, file.audit), ABSENT)
    attempt, outcome = file.records
    assert (attempt["event"], attempt["rpc"], attempt["digest"]) == ("attempt", "DeleteBlob", ABSENT.text)
    assert (outcome["outcome"], outcome["reason"]) == ("refused", "BLOB_UNKNOWN")


async def test_a_trial_is_recorded_as_one(file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry) -> None:
    digest = Digest(registry.push(NAME.name, "1.0"))
    await delete(AuditedDeletion(guarded, file.audit), digest, validate_only=True)
    assert [(record["event"], record["validate_only"], record.get("outcome")) for record in file.records] == [
        ("attempt", True, None),
        ("outcome", True, "validated"),
    ]
    assert registry.holds(NAME.name, digest.text)


async def test_what_the_policy_refuses_is_recorded(
    file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry
) -> None:
    digest = Digest(registry.push("team-a/app", "1.0"))
    hidden = Digest(registry.push("team-b/app", "1.0"))
    deletion = AuditedDeletion(guarded, file.audit)
    with pytest.raises(PermissionDenied):
        await delete(deletion, digest, Repository("team-a/app"))
    with pytest.raises(NotFound):
        await delete(deletion, hidden, Repository("team-b/app"))
    assert [
        (record["repository"], record["event"], record.get("outcome"), record.get("reason")) for record in file.records
    ] == [
        ("team-a/app", "attempt", None, None),
        ("team-a/app", "outcome", "refused", "POLICY_DENIED"),
        ("team-b/app", "attempt", None, None),
        # The caller learns that it does not exist; the audit log has the truth.
        ("team-b/app", "outcome", "refused", "POLICY_DENIED"),
    ]


async def test_what_the_guard_refuses_is_recorded_with_the_tags(
    file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry
) -> None:
    digest = Digest(registry.push(NAME.name, "1.0", "latest"))
    with pytest.raises(ManifestInUse):
        await delete(AuditedDeletion(guarded, file.audit), digest)
    outcome = file.records[1]
    assert (outcome["outcome"], outcome["reason"], outcome["tags"]) == ("refused", "TAGGED", ["latest"])


async def test_the_tags_of_indexes_that_need_it_are_recorded(
    file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry
) -> None:
    whole = multi_platform()
    registry.push(NAME.name, "1.0-amd64", content=whole.children[0])
    registry.push(NAME.name, "1.0", content=whole)
    with pytest.raises(ManifestInUse):
        await delete(AuditedDeletion(guarded, file.audit), Digest(whole.children[0].digest))
    outcome = file.records[1]
    assert (outcome["outcome"], outcome["reason"]) == ("refused", "TAGGED")
    assert (outcome["tags"], outcome["index_tags"]) == (["1.0-amd64"], ["1.0"])


async def test_an_unknown_outcome_is_recorded_as_unknown(
    file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry
) -> None:
    digest = Digest(registry.push(NAME.name, "1.0"))
    deletion = AuditedDeletion(guarded, file.audit)
    with registry.inject(Fault(route="manifests", method="DELETE", hang=True)):
        with pytest.raises(DeleteOutcomeUnknown):
            await delete(deletion, digest, expected_tags=("1.0",))
        task = asyncio.create_task(delete(deletion, digest, expected_tags=("1.0",)))
        await registry.requests.wait_for(2, route="manifests", method="DELETE")
        task.cancel(SHUTDOWN)
        await asyncio.gather(task, return_exceptions=True)
    outcomes = [record for record in file.records if record["event"] == "outcome"]
    assert [(record["outcome"], record["reason"], record["tags"]) for record in outcomes] == [
        ("unknown", "DELETE_OUTCOME_UNKNOWN", ["1.0"]),
        ("unknown", "CANCELLED", []),
    ]


async def test_the_outcome_of_a_delete_is_recorded_after_its_caller_disconnected(
    file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry
) -> None:
    digest = Digest(registry.push(NAME.name, "1.0"))
    with registry.inject(Fault(route="manifests", method="DELETE", answer_delay=0.1)):
        task = asyncio.create_task(delete(AuditedDeletion(guarded, file.audit), digest, expected_tags=("1.0",)))
        await registry.requests.wait_for(1, route="manifests", method="DELETE")
        task.cancel()
        await task
    assert not registry.holds(NAME.name, digest.text)
    assert [(record["event"], record.get("outcome"), record.get("tags")) for record in file.records] == [
        ("attempt", None, None),
        ("outcome", "deleted", ["1.0"]),
    ]


async def test_nothing_is_deleted_if_the_caller_disconnects_during_the_checks(
    file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry
) -> None:
    digest = Digest(registry.push(NAME.name, "1.0"))
    with registry.inject(Fault(route="tags", hang=True)):
        task = asyncio.create_task(delete(AuditedDeletion(guarded, file.audit), digest, expected_tags=("1.0",)))
        await registry.requests.wait_for(1, route="tags")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert registry.requests.count(method="DELETE") == 0
    assert (file.records[1]["outcome"], file.records[1]["reason"]) == ("cancelled", "CANCELLED")


@pytest.mark.parametrize(
    ("status", "body", "outcome", "reason"),
    [
        (409, b'{"errors": [{"code": "CONFLICT", "message": "in use"}]}', "refused", "CONFLICT"),
        (405, b'{"errors": [{"code": "UNSUPPORTED"}]}', "refused", "UNSUPPORTED"),
        (524, b"error code: 524", "unknown", "DELETE_OUTCOME_UNKNOWN"),
        (500, b'{"errors": [{"code": "UNKNOWN"}]}', "failed", "UPSTREAM_ERROR"),
    ],
)
async def test_what_the_registry_answers_decides_the_outcome(
    file: AuditFile,
    guarded: GuardedDeletion,
    registry: DevRegistry,
    status: int,
    body: bytes,
    outcome: str,
    reason: str,
) -> None:
    digest = Digest(registry.push(NAME.name, "1.0"))
    with registry.inject(Fault(route="manifests", method="DELETE", status=status, body=body)):
        task = asyncio.create_task(delete(AuditedDeletion(guarded, file.audit), digest))
        await asyncio.gather(task, return_exceptions=True)
    assert (file.records[1]["outcome"], file.records[1]["reason"]) == (outcome, reason)


async def test_a_deleted_blob_is_recorded_as_deleted(
    file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry
) -> None:
    content = image("app")
    registry.push(NAME.name, "1.0", content=content)
    blob = next(iter(content.blobs))
    await delete_blob(AuditedDeletion(guarded, file.audit), Digest(blob))
    assert not registry.holds(NAME.name, blob)
    assert [(record["rpc"], record["digest"], record.get("outcome")) for record in file.records] == [
        ("DeleteBlob", blob, None),
        ("DeleteBlob", blob, "deleted"),
    ]


@pytest.mark.parametrize("route", ["tags", "manifests"])
async def test_a_trial_is_never_said_to_have_an_unknown_outcome(
    file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry, route: Literal["tags", "manifests"]
) -> None:
    digest = Digest(registry.push(NAME.name, "1.0"))
    method = "DELETE" if route == "manifests" else "GET"
    with registry.inject(Fault(route=route, method=method, hang=True)):
        for end in ((), (SHUTDOWN,)):
            waiting = registry.requests.count(route=route, method=method)
            task = asyncio.create_task(delete(AuditedDeletion(guarded, file.audit), digest, validate_only=True))
            await registry.requests.wait_for(waiting + 1, route=route, method=method)
            task.cancel(*end)
            await asyncio.gather(task, return_exceptions=True)
    outcomes = [record for record in file.records if record["event"] == "outcome"]
    assert all(record["validate_only"] for record in outcomes)
    assert {record["outcome"] for record in outcomes} <= {"cancelled", "failed"}
    assert registry.holds(NAME.name, digest.text)


async def test_an_attempt_that_is_cancelled_at_once_has_an_outcome(
    guarded: GuardedDeletion, registry: DevRegistry, tmp_path: Path
) -> None:
    digest = Digest(registry.push(NAME.name, "1.0"))
    file = AuditFile(tmp_path / "audit.jsonl")
    with file.log:
        for turns in range(20):
            task = asyncio.create_task(delete(AuditedDeletion(guarded, file.audit), digest, validate_only=True))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    events = [record["event"] for record in file.records]
    assert events.count("attempt") == events.count("outcome") > 10


async def test_a_registry_that_fails_is_a_failure(
    file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry
) -> None:
    digest = Digest(registry.push(NAME.name, "1.0"))
    with registry.inject(Fault(route="tags", status=503)), pytest.raises(Unavailable):
        await delete(AuditedDeletion(guarded, file.audit), digest)
    assert file.records[1]["outcome"] == "failed"


async def test_without_a_record_nothing_is_deleted(guarded: GuardedDeletion, registry: DevRegistry) -> None:
    digest = Digest(registry.push(NAME.name, "1.0"))
    with AuditLog("/dev/full") as log, capture_logs() as logs:
        deletion = AuditedDeletion(guarded, DeletionAudit(log, lambda: "the-id"))
        for validate_only in (False, True):
            with pytest.raises(AuditUnavailable, match="nothing was deleted") as caught:
                await delete(deletion, digest, validate_only=validate_only)
            assert caught.value.reason == "AUDIT_FAILED"
        with pytest.raises(AuditUnavailable):
            await delete_blob(deletion, digest)
    assert registry.holds(NAME.name, digest.text)
    assert len(registry.requests) == 0
    assert [entry["log_level"] for entry in logs] == ["error"] * 3


class Replacing(Single):
    """A deletion that makes the audit log unusable once it is at work."""

    def __init__(self, path: Path, error: GatewayError | None = None) -> None:
        self._path = path
        self._error = error

    async def delete(self, wanted: AnyDeletion, approved: Approval = no_approval) -> Deleted:
        await approved()
        self._path.unlink()
        self._path.symlink_to("/dev/full")
        if self._error is not None:
            raise self._error
        return Deleted(digest=ABSENT)


async def test_a_delete_whose_outcome_cannot_be_recorded_is_reported_as_done(file: AuditFile) -> None:
    deletion = AuditedDeletion(Replacing(file.path), file.audit)
    with (
        capture_logs() as logs,
        pytest.raises(OutcomeNotRecorded, match="was deleted, but the outcome") as caught,
    ):
        await delete(deletion, ABSENT)
    assert caught.value.reason == "AUDIT_OUTCOME_NOT_RECORDED"
    # The record is not lost: it is in the other log.
    assert logs[0]["record"]["outcome"] == "deleted"
    file.path.unlink()
    with pytest.raises(AuditUnavailable, match="would not delete"):
        await delete(deletion, ABSENT, validate_only=True)


async def test_the_delete_of_a_tag_whose_outcome_cannot_be_recorded_is_reported_as_done(file: AuditFile) -> None:
    deletion = AuditedDeletion(Replacing(file.path), file.audit)
    wanted = TagDeletion(repository=NAME, tag=Tag("1.0"))
    with capture_logs(), calling(A, "DeleteTag"), pytest.raises(OutcomeNotRecorded, match=f"^{NAME}:1.0 was deleted"):
        await deletion.delete(wanted)


async def test_whoever_approves_learns_whether_the_delete_is_emulated(file: AuditFile) -> None:
    class Emulating(Single):
        async def delete(self, wanted: AnyDeletion, approved: Approval = no_approval) -> Deleted:
            await approved(emulated=True)
            return Deleted(digest=ABSENT)

    told: list[bool] = []

    async def approve(*, emulated: bool = False) -> None:
        told.append(emulated)

    with calling(A, "DeleteTag"):
        await AuditedDeletion(Emulating(), file.audit).delete(TagDeletion(repository=NAME, tag=Tag("1.0")), approve)
    assert told == [True]


async def test_a_refusal_that_cannot_be_recorded_is_still_answered(file: AuditFile) -> None:
    deletion = AuditedDeletion(Replacing(file.path, DeletionDisabled("no")), file.audit)
    with capture_logs() as logs, pytest.raises(DeletionDisabled):
        await delete(deletion, ABSENT)
    assert logs[0]["record"]["reason"] == "DELETION_DISABLED"


# Deletes are switched off.
DISABLED = GuardedDeletion(ScriptedRegistry({}), enabled=False, concurrency=2)


class Request:
    repository = "team-a/app"
    digest = ABSENT.text


def many_tags(count: int) -> list[str]:
    return [f"{number:0>128}" for number in range(count)]


async def test_of_many_expected_tags_fifty_and_their_number_are_recorded(
    file: AuditFile, guarded: GuardedDeletion
) -> None:
    with pytest.raises(NotFound):
        await delete(AuditedDeletion(guarded, file.audit), ABSENT, expected_tags=many_tags(1000))
    for record in file.records:
        assert record["expected_tags"] == many_tags(50)
        assert record["expected_tags_count"] == 1000


async def test_of_many_tags_that_prevent_a_delete_fifty_and_their_number_are_recorded(
    file: AuditFile, guarded: GuardedDeletion, registry: DevRegistry
) -> None:
    digest = Digest(registry.push(NAME.name, *many_tags(60)))
    with pytest.raises(ManifestInUse):
        await delete(AuditedDeletion(guarded, file.audit), digest)
    assert (file.records[1]["tags"], file.records[1]["tags_count"]) == (many_tags(50), 60)
    # Of what is deleted, nothing is left out.
    await delete(AuditedDeletion(guarded, file.audit), digest, force=True)
    assert file.records[3]["tags"] == many_tags(60)


FLOOD = 6000
BUDGET = 1024 * 1024


async def test_a_flood_of_refused_callers_does_not_fill_the_disk_but_is_counted(file: AuditFile) -> None:
    async def refused(caller: Caller | None, error: GatewayError) -> None:
        await file.audit.refused(caller, "ipv4:127.0.0.1:1", "DeleteManifest", Request(), error)

    async with file.audit.summaries():
        for _ in range(FLOOD):
            await refused(None, Unauthenticated("no"))
        recorded = len(file.records)
        size = file.path.stat().st_size
        assert 1024 * 1024 < size < 1100 * 1024
        # One caller's flood is not another's.
        await refused(STRANGER, PermissionDenied("no"))
        assert file.records[-1]["caller"] == STRANGER.name
    summary = file.records[-1]
    assert (summary["event"], summary["caller"], summary["count"]) == ("refusals_left_out", None, FLOOD - recorded)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", str(summary["since"]))


async def test_a_flood_of_refused_deletes_does_not_fill_the_disk_and_drops_no_delete_that_is_done(
    file: AuditFile, registry: DevRegistry, guarded: GuardedDeletion
) -> None:
    disabled = AuditedDeletion(GuardedDeletion(ScriptedRegistry({}), enabled=False, concurrency=2), file.audit)
    async with file.audit.summaries():
        for _ in range(200):
            with pytest.raises(DeletionDisabled):
                await delete(disabled, ABSENT, expected_tags=many_tags(1000))
        recorded = [record["event"] for record in file.records]
        assert file.path.stat().st_size < 1100 * 1024
        assert recorded.count("attempt") == recorded.count("outcome") < 100
        digest = Digest(registry.push(NAME.name, "1.0"))
        await delete(AuditedDeletion(guarded, file.audit), digest)
        assert [(record["event"], record.get("outcome")) for record in file.records[-2:]] == [
            ("attempt", None),
            ("outcome", "deleted"),
        ]
    assert (file.records[-1]["caller"], file.records[-1]["count"]) == (A.name, 200 - recorded.count("attempt"))


async def test_what_was_left_out_is_recorded_every_now_and_then(file: AuditFile) -> None:
    def left_out() -> list[object]:
        return [record["count"] for record in file.records if record["event"] == "refusals_left_out"]

    file.audit.spend(None, BUDGET)
    async with file.audit.summaries(interval=0.01):
        for _ in range(10):
            await file.audit.refused(None, "ipv4:127.0.0.1:1", "DeleteManifest", Request(), Unauthenticated("no"))
        async with asyncio.timeout(10):
            while not left_out():
                await asyncio.sleep(0.01)
    recorded = [record["event"] for record in file.records].count("refused")
    assert sum(map(int, map(str, left_out()))) == 10 - recorded > 0
    # What writes the summaries has ended with its block.
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_nothing_is_recorded_where_nothing_was_left_out(file: AuditFile) -> None:
    async with file.audit.summaries():
        pass
    assert file.records == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_refused_request_that_names_nothing_is_recorded_without_names(file: AuditFile) -> None:
    await file.audit.refused(A, "ipv4:127.0.0.1:1", "DeleteManifest", object(), PermissionDenied("no"))
    (record,) = file.records
    assert (record["caller"], record["outcome"]) == (A.name, "refused")
    assert {"repository", "digest"} & record.keys() == set()


async def test_refusals_that_cannot_be_recorded_do_not_fill_the_ordinary_log() -> None:
    with AuditLog("/dev/full") as log, capture_logs() as logs:
        audit = DeletionAudit(log, lambda: "the-id")
        audit.spend(A, BUDGET - 1000)
        for _ in range(20):
            await audit.refused(A, "ipv4:127.0.0.1:1", "DeleteManifest", Request(), PermissionDenied("no"))
    assert 0 < len(logs) < 10


async def test_without_a_good_record_a_delete_beyond_the_budget_is_refused_too(
    file: AuditFile, registry: DevRegistry, guarded: GuardedDeletion
) -> None:
    file.audit.spend(A, 10_000_000)
    digest = Digest(registry.push(NAME.name, "1.0"))
    file.path.unlink()
    file.path.symlink_to("/dev/full")
    with capture_logs(), pytest.raises(AuditUnavailable):
        await delete(AuditedDeletion(guarded, file.audit), digest)
    assert registry.holds(NAME.name, digest.text)


class Approved(Single):
    """A deletion whose checks pass, and which the registry then does not carry out."""

    async def delete(self, wanted: AnyDeletion, approved: Approval = no_approval) -> Deleted:
        await approved()
        raise Unavailable("no answer", sent=True)


async def test_only_refusals_use_up_the_budget_and_not_deletes_that_the_registry_fails(file: AuditFile) -> None:
    file.audit.spend(A, BUDGET - 100)
    with pytest.raises(Unavailable):
        await delete(AuditedDeletion(Approved(), file.audit), ABSENT)
    assert file.audit.may_record_refusal(A)
    with pytest.raises(DeletionDisabled):
        await delete(AuditedDeletion(DISABLED, file.audit), ABSENT)
    assert not file.audit.may_record_refusal(A)


async def test_a_flood_while_the_audit_log_cannot_be_written_does_not_fill_the_ordinary_log() -> None:
    with AuditLog("/dev/full") as log, capture_logs() as logs:
        audit = DeletionAudit(log, lambda: "the-id")
        audit.spend(A, BUDGET - 1000)
        for _ in range(20):
            with pytest.raises((AuditUnavailable, DeletionDisabled)):
                await delete(AuditedDeletion(DISABLED, audit), ABSENT)
    assert 0 < len(logs) < 10


async def test_a_delete_needs_the_approval_of_whoever_wants_it_too(file: AuditFile) -> None:
    async def refuse(*, emulated: bool = False) -> None:  # noqa: ARG001
        raise PermissionDenied("no")

    wanted = ManifestDeletion(repository=NAME, digest=ABSENT)
    with calling(A, "DeleteManifest"), pytest.raises(PermissionDenied):
        await AuditedDeletion(Approved(), file.audit).delete(wanted, refuse)
    assert [record.get("outcome") for record in file.records] == [None, "refused"]


async def test_a_caller_who_disconnects_while_the_attempt_is_written_leaves_an_outcome(
    file: AuditFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = file.log.write
    begun = asyncio.Event()

    async def slowly(record: Record) -> int:
        if record["event"] == "attempt":
            begun.set()
            await asyncio.Event().wait()
        return await written(record)

    monkeypatch.setattr(file.log, "write", slowly)
    deleting = asyncio.create_task(delete(AuditedDeletion(DISABLED, file.audit), ABSENT))
    await begun.wait()
    deleting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deleting
    assert [(record["event"], record["outcome"]) for record in file.records] == [("outcome", "cancelled")]
