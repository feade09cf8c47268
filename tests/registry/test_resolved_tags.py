import pytest

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import NotFound
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.registry.resolved_tags import ResolvedTag, ResolvedTags
from tests.scripted_registry import ScriptedRegistry, manifest_of

APP = Repository("team/app")


def digest_of(content: str) -> Digest:
    return manifest_of(content).descriptor.digest


@pytest.fixture
def scripted() -> ScriptedRegistry:
    return ScriptedRegistry({"team/app": {"1.0": "one", "2.0": "two"}})


@pytest.fixture
def registry(scripted: ScriptedRegistry) -> ResolvedTags:
    return ResolvedTags(scripted)


async def test_a_resolved_tag_is_read_by_its_digest(scripted: ScriptedRegistry, registry: ResolvedTags) -> None:
    tag = ResolvedTag("1.0", digest_of("two"))
    assert (await registry.resolve_manifest(APP, tag)).digest == digest_of("two")
    assert (await registry.get_manifest(APP, tag)).descriptor.digest == digest_of("two")
    assert not any("team/app:" in asked for asked in scripted.asked)


async def test_a_resolved_tag_whose_manifest_is_gone_is_asked_for_by_its_name(registry: ResolvedTags) -> None:
    tag = ResolvedTag("1.0", digest_of("deleted"))
    assert (await registry.resolve_manifest(APP, tag)).digest == digest_of("one")
    assert (await registry.get_manifest(APP, tag)).descriptor.digest == digest_of("one")
    missing = ResolvedTag("3.0", digest_of("deleted"))
    for ask in (registry.resolve_manifest, registry.get_manifest):
        with pytest.raises(NotFound):
            await ask(APP, missing)


async def test_other_references_are_passed_on(registry: ResolvedTags) -> None:
    manifest = await registry.get_manifest(APP, Tag("1.0"))
    assert await registry.get_manifest(APP, Tag("1.0"), known=manifest) is manifest
    assert (await registry.resolve_manifest(APP, digest_of("two"))).digest == digest_of("two")


def test_a_resolved_tag_shows_as_a_tag() -> None:
    assert str(ResolvedTag("1.0", digest_of("one"))) == "1.0"
