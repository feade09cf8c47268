from collections.abc import Collection
from dataclasses import replace

import pytest

from portus_gateway.access.errors import AuditUnavailable
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import (
    DeleteOutcomeUnknown,
    IncompleteListing,
    NotFound,
    Unsupported,
    UpstreamTimeout,
)
from portus_gateway.distribution.manifest import OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest
from portus_gateway.distribution.manifest_parsing import parse_manifest
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.operations.deletion import BlobDeletion, Deleted, ManifestDeletion
from portus_gateway.operations.deletion_errors import (
    DeletionDisabled,
    DeletionRefused,
    IsManifest,
    ManifestInUse,
    UnusableTags,
)
from portus_gateway.operations.guarded_deletion import GuardedDeletion
from portus_gateway.registry.protocol import Reference
from tests.scripted_registry import ScriptedRegistry, manifest_of

APP = Repository("team/app")
BLOB = Digest.of(b"a layer")


@pytest.fixture
def registry() -> ScriptedRegistry:
    return ScriptedRegistry(
        {"team/app": {"1.0": "one", "latest": "two", "2.0": "two"}}, blobs={BLOB}, deletes_tags=True
    )


def digest_of(content: str) -> Digest:
    return manifest_of(content).descriptor.digest


async def delete(
    registry: ScriptedRegistry,
    digest: Digest,
    expected: Collection[str] = (),
    *,
    force: bool = False,
    validate_only: bool = False,
    enabled: bool = True,
) -> list[str]:
    deletion = ManifestDeletion(
        repository=APP,
        digest=digest,
        expected_tags=frozenset(map(Tag, expected)),
        force=force,
        validate_only=validate_only,
    )
    deleted = await GuardedDeletion(registry, enabled, 4).delete(deletion)
    assert deleted.remaining_tags == ()
    return [tag.name for tag in deleted.tags]


async def delete_blob(
    registry: ScriptedRegistry, digest: Digest = BLOB, *, validate_only: bool = False, enabled: bool = True
) -> None:
    deletion = BlobDeletion(repository=APP, digest=digest, validate_only=validate_only)
    assert await GuardedDeletion(registry, enabled, 4).delete(deletion) == Deleted(digest=digest)


async def test_tags_that_nobody_named_stop_the_delete_and_are_named(registry: ScriptedRegistry) -> None:
    with pytest.raises(ManifestInUse, match=r"2\.0, latest") as refused:
        await delete(registry, digest_of("two"))
    assert refused.value.tags == ("2.0", "latest")
    with pytest.raises(ManifestInUse) as refused:
        await delete(registry, digest_of("two"), ["latest"])
    assert refused.value.tags == ("2.0",)
    assert registry.deleted == []


async def test_expected_tags_let_it_pass_and_are_answered(registry: ScriptedRegistry) -> None:
    assert await delete(registry, digest_of("two"), ["latest", "2.0", "1.0"]) == ["2.0", "latest"]
    assert registry.deleted == [f"team/app@{digest_of('two')}"]


async def test_force_takes_the_tags_along_and_answers_with_them(registry: ScriptedRegistry) -> None:
    assert await delete(registry, digest_of("two"), force=True) == ["2.0", "latest"]
    assert registry.deleted == [f"team/app@{digest_of('two')}"]


async def test_a_delete_of_unknown_outcome_names_the_tags_that_may_be_gone() -> None:
    class Lost(ScriptedRegistry):
        async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
            raise DeleteOutcomeUnknown("the answer was lost")

    with pytest.raises(DeleteOutcomeUnknown) as unknown:
        await delete(Lost({"team/app": {"v2": "one", "v1": "one"}}), digest_of("one"), force=True)
    assert unknown.value.tags == ("v1", "v2")


async def test_validate_only_makes_all_checks_and_deletes_nothing(registry: ScriptedRegistry) -> None:
    assert await delete(registry, digest_of("one"), ["1.0"], validate_only=True) == ["1.0"]
    with pytest.raises(ManifestInUse):
        await delete(registry, digest_of("one"), validate_only=True)
    registry.failures["deletion"] = Unsupported("switched off")
    with pytest.raises(Unsupported):
        await delete(registry, digest_of("one"), ["1.0"], validate_only=True)
    assert registry.deleted == []


async def test_what_is_no_manifest_is_not_found_before_anything_is_deleted(registry: ScriptedRegistry) -> None:
    with pytest.raises(NotFound):
        await delete(registry, BLOB, force=True)
    assert registry.deleted == []


@pytest.mark.parametrize("force", [False, True])
async def test_a_tag_that_cannot_be_read_prevents_the_delete(registry: ScriptedRegistry, force: bool) -> None:
    registry.failures["team/app:1.0"] = UpstreamTimeout("too slow")
    with pytest.raises(UpstreamTimeout):
        await delete(registry, digest_of("two"), ["latest", "2.0"], force=force)
    assert registry.deleted == []


async def test_tags_that_cannot_be_listed_refuse_the_delete(registry: ScriptedRegistry) -> None:
    registry.failures["team/app"] = UpstreamTimeout("too slow")
    with pytest.raises(UpstreamTimeout):
        await delete(registry, digest_of("two"), ["latest", "2.0"], force=True)
    assert registry.deleted == []


async def test_a_tag_that_went_meanwhile_is_on_nothing(registry: ScriptedRegistry) -> None:
    registry.failures["team/app:latest"] = NotFound("gone", reason="MANIFEST_UNKNOWN")
    assert await delete(registry, digest_of("two"), ["2.0"]) == ["2.0"]


async def test_a_digest_in_another_algorithm_is_guarded_as_well(registry: ScriptedRegistry) -> None:
    sha512 = Digest.of(manifest_of("two").raw, "sha512")
    with pytest.raises(ManifestInUse) as refused:
        await delete(registry, sha512)
    assert refused.value.tags == ("2.0", "latest")


async def test_all_of_thousands_of_tags_are_checked() -> None:
    registry = ScriptedRegistry({"team/app": {f"t{number}": "one" for number in range(2500)}})
    with pytest.raises(ManifestInUse, match="and 2490 more") as refused:
        await delete(registry, digest_of("one"))
    assert len(refused.value.tags) == 2500


async def test_a_name_that_is_no_tag_stops_the_delete_unless_forced() -> None:
    registry = ScriptedRegistry({"team/app": {"1.0": "one", "-latest": "one"}}, deletes_tags=True)
    with pytest.raises(UnusableTags, match=r"Set force to delete it anyway.*'-latest'"):
        await delete(registry, digest_of("one"), ["1.0"])
    assert registry.deleted == []
    await delete(registry, digest_of("one"), force=True)
    assert f"team/app@{digest_of('one')}" in registry.deleted


@pytest.mark.parametrize("force", [True, False])
async def test_a_list_of_tags_that_may_be_incomplete_stops_the_delete(registry: ScriptedRegistry, force: bool) -> None:
    registry.failures["team/app"] = IncompleteListing("maybe more")
    with pytest.raises(IncompleteListing):
        await delete(registry, digest_of("one"), ["1.0"], force=force)
    assert registry.deleted == []


class WithIndexes(ScriptedRegistry):
    """Has an index over `two` under `index` and `all`, and under `broken` one that cannot be read."""

    def __init__(self) -> None:
        super().__init__(
            {"team/app": {"1.0": "one", "2.0": "two", "all": "", "index": "", "broken": "not JSON"}}, deletes_tags=True
        )

    async def get_manifest(
        self,
        repository: Repository,
        reference: Reference,
        max_staleness: float = 0,
        known: Manifest | None = None,
    ) -> Manifest:
        child = digest_of("two")
        raw = f'{{"manifests": [{{"mediaType": "{OCI_MANIFEST}", "digest": "{child}", "size": 1}}]}}'.encode()
        index = parse_manifest(raw, digest=Digest.of(raw), media_type=OCI_INDEX)
        broken = Manifest(Descriptor(OCI_INDEX, Digest.of(b"broken")), b"broken", None)
        for manifest, names in ((index, ("all", "index")), (broken, ("broken",))):
            if reference == manifest.descriptor.digest or str(reference) in names:
                return manifest
        return await super().get_manifest(repository, reference, max_staleness, known)


async def test_a_tagged_index_stops_the_delete_and_only_force_overrides_it() -> None:
    registry = WithIndexes()
    for expected in (["2.0"], ["2.0", "all", "index", "broken"]):
        for validate_only in (True, False):
            with pytest.raises(ManifestInUse, match="Delete the indexes that contain it first") as refused:
                await delete(registry, digest_of("two"), expected, validate_only=validate_only)
            assert refused.value.reason == "REFERENCED"
            assert refused.value.facts == {"index_tags": "2", "unreadable_index_tags": "1"}
            assert [(violation.type, violation.subject) for violation in refused.value.precondition_violations] == [
                ("REFERENCED", "all"),
                ("REFERENCED", "broken"),
                ("REFERENCED", "index"),
            ]
    assert registry.deleted == []
    assert await delete(registry, digest_of("two"), force=True) == ["2.0"]


async def test_an_index_that_cannot_be_read_stops_every_delete_unless_forced() -> None:
    registry = WithIndexes()
    with pytest.raises(
        ManifestInUse, match=r"Set force only if none of them contains it\. Their tags: broken"
    ) as refused:
        await delete(registry, digest_of("one"), ["1.0"])
    assert refused.value.reason == "REFERENCED"
    assert await delete(registry, digest_of("one"), force=True) == ["1.0"]


async def test_tags_and_indexes_are_all_named() -> None:
    with pytest.raises(ManifestInUse, match=r"name them in expected_tags.*: 2\.0\. .*: all, index\. ") as refused:
        await delete(WithIndexes(), digest_of("two"))
    assert refused.value.reason == "TAGGED"
    assert refused.value.facts == {"tags": "1", "index_tags": "2", "unreadable_index_tags": "1"}
    assert {(violation.type, violation.subject) for violation in refused.value.precondition_violations} == {
        ("TAGGED", "2.0"),
        ("REFERENCED", "all"),
        ("REFERENCED", "index"),
        ("REFERENCED", "broken"),
    }


async def test_nothing_is_asked_of_the_registry_where_deletes_are_off(registry: ScriptedRegistry) -> None:
    with pytest.raises(DeletionDisabled, match="PORTUS_ALLOW_DELETE"):
        await delete(registry, digest_of("one"), ["1.0"], enabled=False)
    with pytest.raises(DeletionDisabled, match="PORTUS_ALLOW_DELETE"):
        await delete_blob(registry, enabled=False)
    assert registry.asked == []


async def test_a_blob_is_deleted(registry: ScriptedRegistry) -> None:
    await delete_blob(registry)
    assert registry.deleted == [f"team/app@{BLOB}"]


async def test_a_blob_that_is_a_manifest_is_refused(registry: ScriptedRegistry) -> None:
    registry.blobs.add(digest_of("one"))
    with pytest.raises(IsManifest, match="DeleteManifest"):
        await delete_blob(registry, digest_of("one"))
    assert registry.deleted == []


async def test_a_blob_that_is_not_there_is_not_found(registry: ScriptedRegistry) -> None:
    with pytest.raises(NotFound) as missing:
        await delete_blob(registry, Digest.of(b"other"))
    assert missing.value.reason == "BLOB_UNKNOWN"


async def test_validate_only_deletes_no_blob(registry: ScriptedRegistry) -> None:
    await delete_blob(registry, validate_only=True)
    registry.failures["deletion"] = Unsupported("switched off")
    with pytest.raises(Unsupported):
        await delete_blob(registry, validate_only=True)
    assert registry.deleted == []


@pytest.mark.parametrize("validate_only", [False, True])
@pytest.mark.parametrize("kind", ["manifest", "blob"])
async def test_the_approval_comes_after_the_checks_and_before_the_delete(
    registry: ScriptedRegistry, kind: str, validate_only: bool
) -> None:
    wanted: ManifestDeletion | BlobDeletion
    if kind == "manifest":
        wanted = ManifestDeletion(repository=APP, digest=digest_of("two"), validate_only=validate_only)
        approvable: ManifestDeletion | BlobDeletion = replace(wanted, force=True)
    else:
        wanted = BlobDeletion(repository=APP, digest=digest_of("two"), validate_only=validate_only)
        registry.blobs.add(digest_of("two"))
        approvable = replace(wanted, digest=BLOB)
    approvals = 0

    async def refuse(*, emulated: bool = False) -> None:  # noqa: ARG001
        nonlocal approvals
        approvals += 1
        raise AuditUnavailable("no")

    deletion = GuardedDeletion(registry, True, 4)
    with pytest.raises(DeletionRefused):
        await deletion.delete(wanted, refuse)
    assert approvals == 0
    with pytest.raises(AuditUnavailable):
        await deletion.delete(approvable, refuse)
    assert approvals == 1
    assert registry.deleted == []
    assert not any(question.startswith("deletion in") for question in registry.asked)


async def test_a_repository_that_is_not_there_is_said_to_be_unknown(registry: ScriptedRegistry) -> None:
    registry.failures[f"team/app@{BLOB}"] = NotFound("no such repository", reason="NAME_UNKNOWN")
    with pytest.raises(NotFound) as missing:
        await delete_blob(registry)
    assert missing.value.reason == "NAME_UNKNOWN"
