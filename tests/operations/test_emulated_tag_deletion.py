"""Deletes of tags over a registry that deletes by digest only: what fails between the steps.

`rpc/test_emulated_tag_deletion.py` has the rest.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from portus_gateway.access.errors import Hidden
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import (
    DeleteOutcomeUnknown,
    NotFound,
    RegistryFault,
    Unavailable,
    Unsupported,
    UntrustedAnswer,
    UpstreamTimeout,
)
from portus_gateway.distribution.manifest import OCI_INDEX, Manifest
from portus_gateway.distribution.manifest_parsing import parse_manifest
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.errors import GatewayError
from portus_gateway.operations.deletion import Deleted, TagDeletion
from portus_gateway.operations.deletion_errors import ExpectedDigestRequired, ManifestInUse, TagMoved
from portus_gateway.operations.guarded_deletion import GuardedDeletion
from portus_gateway.registry.protocol import Reference
from tests.scripted_registry import ScriptedRegistry, manifest_of

APP = Repository("team/app")
ONE = manifest_of("one").descriptor.digest
TWO = manifest_of("two").descriptor.digest
LATEST = "team/app:latest"
SLOW = UpstreamTimeout("too slow", operator_detail="at registry.internal")


@dataclass
class Registry(ScriptedRegistry):
    """The tag `latest` points to `one`. `steps` are pushes and deletes, by what they change."""

    repositories: dict[str, dict[str, str]] = field(default_factory=lambda: {"team/app": {"latest": "one"}})
    manifests: dict[str, Manifest] = field(default_factory=dict)
    """Of the tags that were pushed."""
    steps: list[str] = field(default_factory=list)
    afterwards: dict[str, Callable[[], None]] = field(default_factory=dict)
    """What happens once after a step, and may fail it: `blob`, `manifest`, `delete`."""

    async def check_tag_deletion(self, repository: Repository) -> None:
        raise Unsupported("it deletes by digest only")

    async def push_blob(self, repository: Repository, blob: bytes) -> None:
        self._step("blob")

    async def push_manifest(self, repository: Repository, tag: Tag, manifest: bytes, media_type: str) -> None:
        self._ask(f"push of {tag}", "push")
        self.tag(tag.name, parse_manifest(manifest, digest=Digest.of(manifest), media_type=media_type))
        self._step("manifest")

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        self._ask(f"delete of {digest}", "delete")
        for tag in [tag for tag, manifest in self.manifests.items() if manifest.descriptor.digest == digest]:
            self.untag(tag)
        self._step("delete")

    def tag(self, tag: str, manifest: Manifest) -> None:
        self.manifests[tag] = manifest
        self.repositories["team/app"][tag] = "pushed"

    def untag(self, tag: str) -> None:
        self.manifests.pop(tag, None)
        self.repositories["team/app"].pop(tag, None)

    @property
    def left(self) -> Digest:
        """What `latest` points to: an empty manifest of the gateway."""
        return self.manifests["latest"].descriptor.digest

    def _step(self, step: str) -> None:
        self.steps.append(step)
        self.afterwards.pop(step, lambda: None)()

    def _manifest(self, repository: Repository, reference: Reference) -> Manifest | None:
        if isinstance(reference, Tag):
            return self.manifests.get(reference.name) or super()._manifest(repository, reference)
        pushed = (one for one in self.manifests.values() if one.descriptor.digest == reference)
        return next(pushed, None) or super()._manifest(repository, reference)


def deletion(registry: Registry) -> GuardedDeletion:
    return GuardedDeletion(registry, True, 4, emulate_tag_deletion=True)


async def delete(registry: Registry, expected: Digest | None = ONE, *, validate_only: bool = False) -> Deleted:
    wanted = TagDeletion(repository=APP, tag=Tag("latest"), expected_digest=expected, validate_only=validate_only)
    return await deletion(registry).delete(wanted)


def raising(error: GatewayError) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


async def interrupted(registry: Registry) -> None:
    """A delete that moved the tag and failed then."""
    registry.failures["delete"] = RegistryFault("no")
    with pytest.raises(DeleteOutcomeUnknown):
        await delete(registry)
    del registry.failures["delete"]
    registry.steps.clear()


async def test_the_tag_is_moved_and_what_it_was_moved_to_is_deleted() -> None:
    registry = Registry()
    assert await delete(registry) == Deleted(digest=ONE, tags=(Tag("latest"),), emulated=True)
    assert registry.steps == ["blob", "manifest", "delete"]
    assert registry.repositories["team/app"] == {}


@pytest.mark.parametrize("validate_only", [False, True])
async def test_nothing_is_changed_before_the_delete_is_approved(validate_only: bool) -> None:
    registry = Registry()

    async def refused(*, emulated: bool = False) -> None:
        assert emulated
        raise Unavailable("there is no room in the audit log")

    wanted = TagDeletion(repository=APP, tag=Tag("latest"), expected_digest=ONE, validate_only=validate_only)
    with pytest.raises(Unavailable, match="audit log"):
        await deletion(registry).delete(wanted, refused)
    await interrupted(registry)
    with pytest.raises(Unavailable, match="audit log"):
        await deletion(registry).delete(wanted, refused)
    assert registry.steps == []


async def test_nothing_is_emulated_unless_the_operator_allows_it() -> None:
    registry = Registry()
    wanted = TagDeletion(repository=APP, tag=Tag("latest"), expected_digest=ONE)
    with pytest.raises(Unsupported, match="PORTUS_EMULATE_TAG_DELETE"):
        await GuardedDeletion(registry, True, 4).delete(wanted)
    assert registry.steps == []


async def test_without_a_digest_nothing_is_changed() -> None:
    registry = Registry()
    with pytest.raises(ExpectedDigestRequired):
        await delete(registry, None)
    assert registry.steps == []


async def test_a_trial_changes_nothing_and_says_what_would_be_deleted() -> None:
    registry = Registry()
    found = Deleted(digest=ONE, tags=(Tag("latest"),), emulated=True)
    assert await delete(registry, validate_only=True) == found
    assert registry.steps == []
    await interrupted(registry)
    assert await delete(registry, validate_only=True) == found
    assert registry.steps == []
    assert await delete(registry) == found
    assert registry.steps == ["delete"]
    assert registry.repositories["team/app"] == {}


async def test_a_registry_that_deletes_nothing_is_told_as_such() -> None:
    registry = Registry()
    registry.failures["deletion"] = Unsupported("it deletes nothing")
    with pytest.raises(Unsupported, match="nothing"):
        await delete(registry)
    del registry.failures["deletion"]
    await interrupted(registry)
    registry.failures["deletion"] = Unsupported("it deletes nothing")
    with pytest.raises(Unsupported, match="nothing"):
        await delete(registry)
    assert registry.steps == []


# --- Before the tag is moved ------------------------------------------------------------------------------------


async def test_a_tag_that_is_gone_is_not_made_anew() -> None:
    registry = Registry()
    registry.afterwards["blob"] = lambda: registry.untag("latest")
    with pytest.raises(NotFound, match="does not exist any more") as gone:
        await delete(registry)
    assert gone.value.reason == "MANIFEST_UNKNOWN"
    assert registry.steps == ["blob"]


@pytest.mark.parametrize("error", [Unsupported("a type of old"), UntrustedAnswer("other bytes")], ids=repr)
async def test_a_tag_that_was_moved_to_what_cannot_be_read_has_moved(error: GatewayError) -> None:
    registry = Registry()
    registry.failures[f"team/app@{ONE}"] = error
    with pytest.raises(TagMoved) as moved:
        await delete(registry, TWO)
    assert moved.value.facts == {"expected": TWO.text, "actual": ONE.text}


async def test_whether_a_tag_has_moved_is_not_guessed() -> None:
    registry = Registry()
    registry.failures[f"team/app@{ONE}"] = SLOW
    with pytest.raises(UpstreamTimeout):
        await delete(registry, TWO)


def unreadable_token() -> UntrustedAnswer:
    error = UntrustedAnswer("the token service answered with rubbish")
    error.sent = False
    return error


@pytest.mark.parametrize("error", [Unavailable("connection refused", sent=False), unreadable_token()], ids=repr)
async def test_a_move_that_was_never_sent_has_its_own_error(error: GatewayError) -> None:
    registry = Registry()
    registry.failures["push"] = error
    with pytest.raises(type(error)) as refused:
        await delete(registry)
    assert refused.value is error


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("the answer was lost", operator_detail="at registry.internal"),
        RegistryFault("it failed", operator_detail="at registry.internal"),
        UntrustedAnswer("no answer", operator_detail="at registry.internal"),
    ],
    ids=repr,
)
async def test_a_move_that_failed_may_still_happen(error: GatewayError) -> None:
    registry = Registry()
    registry.failures["push"] = error
    with pytest.raises(DeleteOutcomeUnknown, match=f"may still happen. It pointed to {ONE}") as unknown:
        await delete(registry)
    assert unknown.value.operator_detail == "at registry.internal"
    # A move that happened all the same is completed.
    del registry.failures["push"]
    registry.afterwards["manifest"] = raising(error)
    assert (await delete(registry)).emulated
    assert registry.repositories["team/app"] == {}


@pytest.mark.parametrize("later", [SLOW, Hidden("no")], ids=repr)
async def test_a_move_that_failed_and_cannot_be_looked_at_may_have_happened(later: GatewayError) -> None:
    registry = Registry()

    def fail() -> None:
        registry.failures[LATEST] = later
        raise Unavailable("the answer was lost")

    registry.afterwards["manifest"] = fail
    with pytest.raises(DeleteOutcomeUnknown, match=r"the answer was lost.* may still happen"):
        await delete(registry)


# --- After it was moved -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [SLOW, Hidden("no")], ids=repr)
async def test_where_the_tag_cannot_be_seen_after_the_move_it_is_said_what_is_left(error: GatewayError) -> None:
    registry = Registry()
    registry.afterwards["manifest"] = lambda: registry.failures.update({LATEST: error})
    with pytest.raises(DeleteOutcomeUnknown, match="was not deleted") as unknown:
        await delete(registry)
    assert registry.left.text in str(unknown.value)
    assert f"It pointed to {ONE}, which still exists" in str(unknown.value)
    assert unknown.value.operator_detail == error.operator_detail


@pytest.mark.parametrize("error", [SLOW, Hidden("no")], ids=repr)
async def test_where_the_delete_fails_it_is_said_what_is_left(error: GatewayError) -> None:
    registry = Registry()
    registry.failures["delete"] = error
    with pytest.raises(DeleteOutcomeUnknown, match="was not deleted") as unknown:
        await delete(registry)
    assert registry.left.text in str(unknown.value)
    assert unknown.value.operator_detail == error.operator_detail


async def test_a_tag_that_is_still_there_after_its_delete_is_not_said_to_be_gone() -> None:
    registry = Registry()
    await interrupted(registry)
    left = registry.manifests["latest"]
    registry.afterwards["delete"] = lambda: registry.tag("latest", left)
    with pytest.raises(DeleteOutcomeUnknown, match="it still exists"):
        await delete(registry)


async def test_what_somebody_else_deleted_is_gone() -> None:
    registry = Registry()
    registry.afterwards["delete"] = raising(NotFound("no such manifest", reason="MANIFEST_UNKNOWN"))
    assert (await delete(registry)).emulated


async def test_what_was_left_stays_where_an_index_contains_it() -> None:
    registry = Registry()
    await interrupted(registry)
    descriptor = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": registry.left.text, "size": 2}
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor]}).encode()
    registry.tag("all", parse_manifest(raw, digest=Digest.of(raw), media_type=OCI_INDEX))
    with pytest.raises(ManifestInUse) as used:
        await delete(registry)
    assert (used.value.reason, used.value.index_tags) == ("REFERENCED", ("all",))
    assert registry.steps == []
