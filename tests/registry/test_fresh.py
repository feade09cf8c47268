"""What deletes are decided on is asked of the registry, and deletes go where answers are remembered."""

import pytest

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.manifest import Manifest
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.registry.fresh import FreshRegistry
from portus_gateway.registry.protocol import Reference
from tests.scripted_registry import ScriptedRegistry, manifest_of

APP = Repository("team/app")
LATEST = Tag("latest")
DIGEST = manifest_of("new").descriptor.digest


class Remembering(ScriptedRegistry):
    """Notes how old its answers may be, and what is pushed."""

    staleness: float | None = None
    pushed: tuple[object, ...] = ()

    async def push_blob(self, repository: Repository, blob: bytes) -> None:
        self.pushed += (repository, blob)

    async def push_manifest(self, repository: Repository, tag: Tag, manifest: bytes, media_type: str) -> None:
        self.pushed += (repository, tag, manifest, media_type)

    async def get_manifest(
        self,
        repository: Repository,
        reference: Reference,
        max_staleness: float = 0,
        known: Manifest | None = None,
    ) -> Manifest:
        self.staleness = max_staleness
        return await super().get_manifest(repository, reference, max_staleness, known)


@pytest.fixture
def registry() -> Remembering:
    return Remembering({"team/app": {"latest": "new"}})


@pytest.fixture
def decorated() -> Remembering:
    return Remembering({"team/app": {"latest": "old", "other": "new"}})


@pytest.fixture
def fresh(registry: Remembering, decorated: Remembering) -> FreshRegistry:
    return FreshRegistry(registry, decorated)


@pytest.mark.parametrize("staleness", [0, 0.5, 60])
async def test_a_tag_is_never_read_from_what_is_remembered(
    fresh: FreshRegistry, decorated: Remembering, staleness: float
) -> None:
    assert (await fresh.get_manifest(APP, LATEST, staleness)).raw == manifest_of("new").raw
    assert (await fresh.resolve_manifest(APP, LATEST)).digest == DIGEST
    assert decorated.asked == []


@pytest.mark.parametrize("staleness", [0.5, 60])
async def test_the_content_of_a_digest_may_be_remembered(
    fresh: FreshRegistry, registry: Remembering, decorated: Remembering, staleness: float
) -> None:
    assert (await fresh.get_manifest(APP, DIGEST, staleness)).raw == manifest_of("new").raw
    assert (registry.asked, decorated.staleness) == ([], staleness)


async def test_a_read_that_names_no_age_is_asked_of_the_registry(
    fresh: FreshRegistry, registry: Remembering, decorated: Remembering
) -> None:
    assert (await fresh.get_manifest(APP, DIGEST)).raw == manifest_of("new").raw
    assert (registry.staleness, decorated.asked) == (0, [])


async def test_deletes_go_where_answers_are_remembered_so_that_they_are_forgotten(
    fresh: FreshRegistry, registry: Remembering, decorated: Remembering
) -> None:
    blob = Digest.of(b"a layer")
    await fresh.delete_manifest(APP, DIGEST)
    await fresh.delete_tag(APP, LATEST)
    await fresh.delete_blob(APP, blob)
    assert decorated.deleted == [f"team/app@{DIGEST}", "team/app:latest", f"team/app@{blob}"]
    assert registry.deleted == []


async def test_what_is_pushed_to_delete_a_tag_goes_where_answers_are_remembered_too(
    fresh: FreshRegistry, registry: Remembering, decorated: Remembering
) -> None:
    await fresh.push_blob(APP, b"{}")
    await fresh.push_manifest(APP, LATEST, b"a manifest", "application/x")
    assert decorated.pushed == (APP, b"{}", APP, LATEST, b"a manifest", "application/x")
    assert registry.pushed == ()
