"""What became of the tags of a deleted manifest is looked at, and not assumed."""

import asyncio
from collections.abc import Collection

import pytest
from structlog.testing import capture_logs

from portus_gateway.access.errors import Hidden
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import DeleteOutcomeUnknown, Denied, NotFound, Unsupported, UpstreamTimeout
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.errors import GatewayError
from portus_gateway.operations import remaining_tags
from portus_gateway.operations.deletion import Deleted, ManifestDeletion
from portus_gateway.operations.guarded_deletion import GuardedDeletion
from tests.scripted_registry import ScriptedRegistry, manifest_of

APP = Repository("team/app")
TWO = manifest_of("two").descriptor.digest


class After(ScriptedRegistry):
    """Does something once the manifest was deleted. Its tags stay, unless a test says otherwise."""

    def __init__(
        self, *, deletes_tags: bool = False, deletes_by_name: bool = False, tags: Collection[str] = ()
    ) -> None:
        super().__init__(
            {"team/app": {"1.0": "one", **dict.fromkeys(tags or ("2.0", "latest"), "two")}},
            deletes_tags=deletes_tags,
            deletes_by_name=deletes_by_name,
        )
        self.failures_after: dict[str, GatewayError] = {}
        self.moved_after: dict[str, str] = {}
        self.gate_after: asyncio.Event | None = None
        self.is_deleted = asyncio.Event()

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        await super().delete_manifest(repository, digest)
        self.asked.clear()
        self.failures |= self.failures_after
        self.repositories["team/app"].update(self.moved_after)
        self.manifest_gate = self.gate_after
        self.is_deleted.set()


async def delete(registry: ScriptedRegistry) -> Deleted:
    return await GuardedDeletion(registry, True, 4).delete(ManifestDeletion(repository=APP, digest=TWO, force=True))


def deleted(tags: Collection[str], remaining: Collection[str] = ()) -> Deleted:
    return Deleted(digest=TWO, tags=tuple(map(Tag, tags)), remaining_tags=tuple(map(Tag, remaining)))


async def test_only_the_tags_of_the_manifest_are_checked() -> None:
    registry = After(deletes_tags=True)
    assert await delete(registry) == deleted(["2.0", "latest"])
    assert sorted(registry.asked) == ["team/app:2.0", "team/app:latest"]
    assert registry.deleted == [f"team/app@{TWO}"]


async def test_tags_that_the_registry_kept_are_deleted_by_name() -> None:
    registry = After(deletes_by_name=True)
    assert await delete(registry) == deleted(["2.0", "latest"])
    assert registry.deleted == [f"team/app@{TWO}", "team/app:2.0", "team/app:latest"]


async def test_tags_that_still_exist_are_returned_as_remaining() -> None:
    assert await delete(After()) == deleted([], ["2.0", "latest"])


async def test_a_registry_that_deletes_by_digest_only_is_asked_once() -> None:
    registry = After()
    registry.failures["delete of team/app:2.0"] = Unsupported("by digest only")
    assert await delete(registry) == deleted([], ["2.0", "latest"])
    # And nothing is looked at again, since nothing can have changed.
    assert sorted(registry.asked) == ["delete of team/app:2.0", "team/app:2.0", "team/app:latest"]


async def test_one_tag_that_cannot_be_deleted_is_no_reason_to_leave_the_others() -> None:
    registry = After(deletes_by_name=True)
    registry.failures["delete of team/app:2.0"] = Denied("no")
    with capture_logs() as logs:
        assert await delete(registry) == deleted(["latest"], ["2.0"])
    assert [(entry["tag"], entry["problem"]) for entry in logs] == [("2.0", "no")]


async def test_a_tag_that_was_moved_meanwhile_is_left_alone() -> None:
    registry = After(deletes_tags=True, deletes_by_name=True)
    registry.moved_after["latest"] = "three"
    assert await delete(registry) == deleted(["2.0"], ["latest"])
    assert registry.deleted == [f"team/app@{TWO}"]


@pytest.mark.parametrize(
    "failure", [UpstreamTimeout("slow"), Hidden("a new policy")], ids=lambda failure: type(failure).__name__
)
async def test_tags_that_cannot_be_checked_are_not_claimed(failure: GatewayError) -> None:
    registry = After(deletes_tags=True)
    registry.failures_after["team/app:latest"] = failure
    with pytest.raises(DeleteOutcomeUnknown, match="was deleted, but its tags could not be checked") as unknown:
        await delete(registry)
    assert unknown.value.tags == ("2.0", "latest")


async def test_many_tags_are_listed_first() -> None:
    tags = [f"t{number}" for number in range(200)]
    registry = After(deletes_tags=True, tags=tags)
    registry.moved_after["t7"] = "seven"
    assert await delete(registry) == deleted(sorted(set(tags) - {"t7"}), ["t7"])
    assert registry.asked == ["tags of team/app", "team/app:t7"]


async def test_the_repository_may_have_gone_with_its_last_tag() -> None:
    tags = [f"t{number:03}" for number in range(200)]
    registry = After(deletes_tags=True, tags=tags)
    registry.failures_after["team/app"] = NotFound("gone", reason="NAME_UNKNOWN")
    assert await delete(registry) == deleted(tags)
    registry = After(deletes_tags=True, tags=tags)
    registry.failures_after["team/app"] = Hidden("a new policy", reason="MANIFEST_UNKNOWN")
    with pytest.raises(DeleteOutcomeUnknown):
        await delete(registry)


async def test_the_check_does_not_end_with_the_call() -> None:
    registry = After(deletes_by_name=True)
    registry.gate_after = asyncio.Event()
    deleting = asyncio.create_task(delete(registry))
    await registry.is_deleted.wait()
    deleting.cancel()
    await asyncio.sleep(0)
    registry.gate_after.set()
    assert await deleting == deleted(["2.0", "latest"])


async def test_the_check_is_bounded_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remaining_tags, "_LONGEST_SECONDS", 0.05)
    registry = After()
    registry.gate_after = asyncio.Event()
    with pytest.raises(DeleteOutcomeUnknown, match="it took too long"):
        await delete(registry)
