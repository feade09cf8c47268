"""Batches of deletes: what does not need HTTP to be shown. `rpc/test_batch_delete_manifests.py` has the rest."""

import asyncio
from dataclasses import dataclass, replace

import pytest

from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import (
    DeleteOutcomeUnknown,
    RegistryFault,
    Unavailable,
    Unsupported,
    UpstreamTimeout,
)
from portus_gateway.distribution.manifest import OCI_INDEX, Descriptor, Manifest
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.operations import batch_deletion
from portus_gateway.operations.deletion import BatchDeletion, Deleted, ManifestDeletion
from portus_gateway.operations.deletion_errors import DeletionDisabled, ManifestInUse
from portus_gateway.operations.guarded_deletion import GuardedDeletion
from portus_gateway.registry.protocol import Reference
from tests.operations.old_looks import old_looks as old_looks
from tests.scripted_registry import ScriptedRegistry, manifest_of

APP = Repository("team/app")


def digest(number: int) -> Digest:
    return manifest_of(f"image {number}").descriptor.digest


def part(number: int, *, validate_only: bool = False) -> ManifestDeletion:
    return ManifestDeletion(
        repository=APP,
        digest=digest(number),
        expected_tags=frozenset({Tag(f"v{number}")}),
        validate_only=validate_only,
    )


@dataclass
class Registry(ScriptedRegistry):
    """Has the tags v0, v1 and so on. Counts the deletes at the same time."""

    deleting: int = 0
    most_deleting: int = 0

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        self.deleting += 1
        self.most_deleting = max(self.most_deleting, self.deleting)
        await asyncio.sleep(0.001)
        self.deleting -= 1
        if digest.text in self.failures:
            raise self.failures[digest.text]
        await super().delete_manifest(repository, digest)


def registry(count: int, *, deletes_tags: bool = True) -> Registry:
    return Registry({"team/app": {f"v{n}": f"image {n}" for n in range(count)}}, deletes_tags=deletes_tags)


async def outcomes(scripted: Registry, *parts: ManifestDeletion, concurrency: int = 4) -> list[Deleted | Exception]:
    """The results in the order of the parts."""
    found: dict[int, Deleted | Exception] = {}
    async for known in GuardedDeletion(scripted, True, concurrency).delete_batch(BatchDeletion(parts)):
        for outcome in known:
            assert outcome.part not in found
            found[outcome.part] = outcome.result
    return [found[position] for position in range(len(parts))]


@pytest.mark.parametrize(("concurrency", "most"), [(1, 1), (4, 2), (8, 4)])
async def test_at_most_half_of_the_requests_are_deletes(concurrency: int, most: int) -> None:
    scripted = registry(20)
    results = await outcomes(scripted, *map(part, range(20)), concurrency=concurrency)
    assert all(isinstance(result, Deleted) for result in results)
    assert scripted.most_deleting == most


async def test_nothing_is_asked_of_the_registry_where_deletes_are_off() -> None:
    scripted = registry(1)
    with pytest.raises(DeletionDisabled):
        await anext(GuardedDeletion(scripted, False, 4).delete_batch(BatchDeletion((part(0),))))
    assert scripted.asked == scripted.deleted == []


async def test_tags_that_the_registry_keeps_are_told() -> None:
    results = await outcomes(registry(2, deletes_tags=False), part(0), part(1))
    assert results == [Deleted(digest=digest(n), remaining_tags=(Tag(f"v{n}"),)) for n in range(2)]


async def test_where_the_tags_cannot_be_checked_afterwards_the_outcomes_are_unknown() -> None:
    class FailingAfterwards(Registry):
        async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
            await super().delete_manifest(repository, digest)
            self.failures["team/app:v0"] = UpstreamTimeout("too slow")

    scripted = FailingAfterwards({"team/app": {"v0": "image 0", "v1": "image 1"}}, deletes_tags=True)
    results = await outcomes(scripted, part(0), part(1))
    for number, result in enumerate(results):
        assert isinstance(result, DeleteOutcomeUnknown)
        assert result.tags == (f"v{number}",)


class WithUntagged(Registry):
    """Has a manifest without a tag too: `digest(9)`."""

    def _manifest(self, repository: Repository, reference: Reference) -> Manifest | None:
        return manifest_of("image 9") if reference == digest(9) else super()._manifest(repository, reference)


async def test_the_tags_that_are_kept_are_told_beside_a_manifest_without_tags() -> None:
    scripted = WithUntagged({"team/app": {"v0": "image 0"}})
    results = await outcomes(scripted, part(0), part(9))
    assert results == [Deleted(digest=digest(0), remaining_tags=(Tag("v0"),)), Deleted(digest=digest(9))]


async def test_a_manifest_without_tags_is_deleted_for_certain() -> None:
    class FailingAfterwards(WithUntagged):
        async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
            await super().delete_manifest(repository, digest)
            self.failures["team/app:v0"] = UpstreamTimeout("too slow")

    unknown, deleted = await outcomes(FailingAfterwards({"team/app": {"v0": "image 0"}}), part(0), part(9))
    assert isinstance(unknown, DeleteOutcomeUnknown)
    assert deleted == Deleted(digest=digest(9))


async def test_where_tags_could_not_be_checked_all_are_looked_at_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    class FailingAfterwards(Registry):
        async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
            await super().delete_manifest(repository, digest)
            self.failures["team/app:v0"] = UpstreamTimeout("too slow")

    monkeypatch.setattr(batch_deletion, "_MOST_AT_ONCE", 1)
    scripted = FailingAfterwards({"team/app": {"v0": "image 0", "v1": "image 1"}}, deletes_tags=False)
    unknown, failed = await outcomes(scripted, part(0), part(1))
    assert isinstance(unknown, DeleteOutcomeUnknown)
    assert failed == scripted.failures["team/app:v0"]
    assert scripted.deleted == [f"team/app@{digest(0)}"]


async def test_a_trial_of_both_digests_of_one_manifest_names_its_tags_with_each() -> None:
    long = Digest.of(manifest_of("image 0").raw, "sha512")
    other = ManifestDeletion(repository=APP, digest=long, expected_tags=frozenset({Tag("v0")}), validate_only=True)
    results = await outcomes(registry(1), part(0, validate_only=True), other)
    assert results == [Deleted(digest=name, tags=(Tag("v0"),)) for name in (digest(0), long)]


@pytest.mark.parametrize("sha512_first", [False, True])
async def test_both_digests_of_one_manifest_have_one_result_each(sha512_first: bool) -> None:
    long = Digest.of(manifest_of("image 0").raw, "sha512")
    parts = [part(0), replace(part(0), digest=long)]
    if sha512_first:
        parts.reverse()
    scripted = registry(2)
    results = await outcomes(scripted, *parts)
    assert results == [Deleted(digest=each.digest, tags=(Tag("v0"),)) for each in parts]
    assert sorted(scripted.deleted) == sorted(f"team/app@{each.digest}" for each in parts)


async def test_a_lost_answer_names_the_tags_that_may_be_gone() -> None:
    scripted = registry(2)
    scripted.failures[digest(0).text] = DeleteOutcomeUnknown("the answer was lost")
    unknown, deleted = await outcomes(scripted, part(0), part(1))
    assert isinstance(unknown, DeleteOutcomeUnknown)
    assert unknown.tags == ("v0",)
    assert deleted == Deleted(digest=digest(1), tags=(Tag("v1"),))


async def test_an_unexpected_error_is_the_outcome_of_its_part_alone() -> None:
    scripted = registry(2)
    bug = ZeroDivisionError("a bug")
    scripted.failures[digest(0).text] = bug  # type: ignore[assignment]
    assert await outcomes(scripted, part(0), part(1)) == [bug, Deleted(digest=digest(1), tags=(Tag("v1"),))]


@pytest.mark.parametrize("subject", [f"team/app@{digest(0)}", "team/app", "team/app:v1"])
async def test_the_deadline_ends_the_whole_batch(subject: str) -> None:
    scripted = registry(2)
    scripted.failures[subject] = DeadlineExceeded("late")
    with pytest.raises(DeadlineExceeded):
        await outcomes(scripted, part(0), part(1))
    assert scripted.deleted == []


async def test_a_deadline_that_ends_while_an_index_is_read_ends_the_whole_batch() -> None:
    class WithIndex(Registry):
        async def resolve_manifest(
            self, repository: Repository, reference: Reference, max_staleness: float = 0
        ) -> Descriptor:
            found = await super().resolve_manifest(repository, reference, max_staleness)
            return replace(found, media_type=OCI_INDEX) if reference == Tag("v1") else found

        async def get_manifest(
            self,
            repository: Repository,
            reference: Reference,
            max_staleness: float = 0,
            known: Manifest | None = None,
        ) -> Manifest:
            if reference == digest(1):
                raise DeadlineExceeded("late")
            return await super().get_manifest(repository, reference, max_staleness, known)

    scripted = WithIndex({"team/app": {"v0": "image 0", "v1": "image 1"}})
    with pytest.raises(DeadlineExceeded):
        await outcomes(scripted, part(0))
    assert scripted.deleted == []


async def test_a_tag_that_cannot_be_looked_at_stops_every_part() -> None:
    scripted = registry(3)
    scripted.failures["team/app:v2"] = RegistryFault("no")
    results = await outcomes(scripted, part(0), part(1))
    assert results == [scripted.failures["team/app:v2"]] * 2
    assert scripted.deleted == []


async def test_a_trial_asks_once_whether_the_registry_deletes() -> None:
    scripted = registry(3)
    results = await outcomes(scripted, *(part(n, validate_only=True) for n in range(3)))
    assert results == [Deleted(digest=digest(n), tags=(Tag(f"v{n}"),)) for n in range(3)]
    assert scripted.asked.count("deletion in team/app") == 1
    assert scripted.deleted == []


async def test_a_trial_asks_once_too_if_the_registry_does_not_delete() -> None:
    scripted = registry(3)
    scripted.failures["deletion"] = Unsupported("no")
    results = await outcomes(scripted, *(part(n, validate_only=True) for n in range(3)))
    assert results == [scripted.failures["deletion"]] * 3
    assert scripted.asked.count("deletion in team/app") == 1


async def test_the_deadline_ends_a_trial_too() -> None:
    scripted = registry(2)
    scripted.failures["deletion"] = DeadlineExceeded("late")
    with pytest.raises(DeadlineExceeded):
        await outcomes(scripted, part(0, validate_only=True))


@pytest.mark.parametrize("validate_only", [False, True])
async def test_a_part_that_is_not_approved_is_not_deleted(validate_only: bool) -> None:
    scripted = registry(2)
    refusal = Unavailable("there is no room in the audit log")

    async def approved(position: int) -> None:
        if position == 0:
            raise refusal

    batch = BatchDeletion((part(0, validate_only=validate_only), part(1, validate_only=validate_only)))
    found = {}
    async for known in GuardedDeletion(scripted, True, 4).delete_batch(batch, approved):
        found.update({outcome.part: outcome.result for outcome in known})
    assert found == {0: refusal, 1: Deleted(digest=digest(1), tags=(Tag("v1"),))}
    assert scripted.deleted == ([] if validate_only else [f"team/app@{digest(1)}"])


@pytest.mark.usefixtures("old_looks")
async def test_after_a_delete_that_failed_an_old_look_is_not_used_either() -> None:
    class Pushed(Registry):
        async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
            self.repositories["team/app"]["new"] = "image 1"
            await super().delete_manifest(repository, digest)

    scripted = Pushed({"team/app": {"v0": "image 0", "v1": "image 1"}})
    scripted.failures[digest(0).text] = fault = RegistryFault("no")
    failed, refused = await outcomes(scripted, part(0), part(1), concurrency=1)
    assert failed == fault
    assert isinstance(refused, ManifestInUse)
    assert refused.tags == ("new",)
    assert scripted.deleted == []


@pytest.mark.usefixtures("old_looks")
async def test_each_look_is_used_for_one_delete_however_old_it_is() -> None:
    scripted = registry(3)
    async with asyncio.timeout(5):
        results = await outcomes(scripted, *map(part, range(3)), concurrency=1)
    assert results == [Deleted(digest=digest(n), tags=(Tag(f"v{n}"),)) for n in range(3)]
    assert scripted.asked.count("tags of team/app") == 3


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (part(0), part(0)),
        (part(0), part(1, validate_only=True)),
        (part(0), ManifestDeletion(repository=Repository("team/web"), digest=digest(1))),
    ],
)
def test_what_is_no_batch(parts: tuple[ManifestDeletion, ...]) -> None:
    with pytest.raises(ValueError, match=r"batch|twice"):
        BatchDeletion(parts)
