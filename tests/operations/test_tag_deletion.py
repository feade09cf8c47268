"""Deletes of tags alone: what is looked at afterwards."""

import pytest
from structlog.testing import capture_logs

from portus_gateway.access.errors import Hidden
from portus_gateway.distribution.errors import DeleteOutcomeUnknown, Unavailable, Unsupported, UpstreamTimeout
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.errors import GatewayError
from portus_gateway.operations.deletion import Deleted, TagDeletion
from portus_gateway.operations.deletion_errors import ManifestDeletedToo, TagMoved
from portus_gateway.operations.guarded_deletion import GuardedDeletion
from tests.scripted_registry import ScriptedRegistry, manifest_of

APP = Repository("team/app")
ONE = manifest_of("one").descriptor.digest
TWO = manifest_of("two").descriptor.digest
SLOW = UpstreamTimeout("too slow", operator_detail="at registry.internal")


def registry(**tags: str) -> ScriptedRegistry:
    """A registry that has the manifests that tags point to, and no others."""
    return ScriptedRegistry({"team/app": dict(tags)}, deletes_by_name=True)


async def delete(deletion: GuardedDeletion, tag: str) -> Deleted:
    return await deletion.delete(TagDeletion(repository=APP, tag=Tag(tag)))


async def test_a_registry_that_deletes_the_manifest_with_the_tag_is_not_asked_again() -> None:
    scripted = registry(latest="one", stable="two")
    deletion = GuardedDeletion(scripted, True, 4)
    with capture_logs() as logs, pytest.raises(ManifestDeletedToo, match=ONE.text):
        await delete(deletion, "latest")
    assert [entry["log_level"] for entry in logs] == ["error"]
    with pytest.raises(Unsupported, match="together with its tag"):
        await delete(deletion, "stable")
    assert scripted.deleted == ["team/app:latest"]


async def test_where_a_manifest_was_seen_to_stay_somebody_else_deletes_those_that_are_gone() -> None:
    scripted = registry(first="one", kept="one", alone="two", third="three", fourth="three")
    deletion = GuardedDeletion(scripted, True, 4)
    await delete(deletion, "first")
    with pytest.raises(ManifestDeletedToo, match="somebody else"):
        await delete(deletion, "alone")
    await delete(deletion, "third")


async def test_whether_it_deletes_tags_is_asked_until_it_did() -> None:
    scripted = registry(a="one", b="one", c="one", kept="one")
    deletion = GuardedDeletion(scripted, True, 4)
    for tag in "abc":
        assert await delete(deletion, tag) == Deleted(digest=ONE, tags=(Tag(tag),))
    assert scripted.asked.count("deletion of tags in team/app") == 1
    await deletion.delete(TagDeletion(repository=APP, tag=Tag("kept"), validate_only=True))
    assert scripted.asked.count("deletion of tags in team/app") == 2
    assert "team/app:kept" not in scripted.deleted


@pytest.mark.parametrize("question", ["team/app:latest", f"team/app@{ONE}"])
@pytest.mark.parametrize("error", [SLOW, Hidden("no")], ids=["timeout", "hidden"])
async def test_what_cannot_be_seen_afterwards_is_unknown(question: str, error: GatewayError) -> None:
    class FailingAfterwards(ScriptedRegistry):
        async def delete_tag(self, repository: Repository, tag: Tag) -> None:
            await super().delete_tag(repository, tag)
            self.failures[question] = error

    scripted = FailingAfterwards({"team/app": {"latest": "one", "kept": "one"}}, deletes_by_name=True)
    with pytest.raises(DeleteOutcomeUnknown, match="before you try again") as unknown:
        await delete(GuardedDeletion(scripted, True, 4), "latest")
    assert unknown.value.operator_detail == error.operator_detail


async def test_a_tag_that_was_pushed_meanwhile_was_deleted_before() -> None:
    class Pushed(ScriptedRegistry):
        async def delete_tag(self, repository: Repository, tag: Tag) -> None:
            await super().delete_tag(repository, tag)
            self.repositories["team/app"]["latest"] = "two"

    scripted = Pushed({"team/app": {"latest": "one", "kept": "one"}}, deletes_by_name=True)
    assert await delete(GuardedDeletion(scripted, True, 4), "latest") == Deleted(digest=ONE, tags=(Tag("latest"),))


async def test_nothing_is_deleted_that_is_not_approved() -> None:
    scripted = registry(latest="one", kept="one")

    async def refused(*, emulated: bool = False) -> None:
        assert not emulated
        raise Unavailable("there is no room in the audit log")

    wanted = TagDeletion(repository=APP, tag=Tag("latest"))
    with pytest.raises(Unavailable, match="audit log"):
        await GuardedDeletion(scripted, True, 4).delete(wanted, refused)
    assert scripted.deleted == []


async def test_a_digest_of_the_same_algorithm_is_compared_without_the_manifest() -> None:
    scripted = registry(latest="one", kept="one")
    scripted.failures[f"team/app@{ONE}"] = SLOW
    wanted = TagDeletion(repository=APP, tag=Tag("latest"), expected_digest=TWO)
    with pytest.raises(TagMoved):
        await GuardedDeletion(scripted, True, 4).delete(wanted)
