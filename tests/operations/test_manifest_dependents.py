"""What still needs a manifest: over HTTP, with the guard's registry as `app` builds it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from portus_gateway.access.errors import Hidden
from portus_gateway.devregistry import Content, DevRegistry, Fault, artifact, image, index, multi_platform
from portus_gateway.devregistry.images import raw_manifest
from portus_gateway.distribution import (
    Configuration,
    Credentials,
    DistributionClient,
    RetryPolicy,
    StaticPassword,
)
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import NotFound, RegistryFault, Unavailable, Unsupported
from portus_gateway.distribution.manifest import Descriptor
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.errors import GatewayError
from portus_gateway.operations import manifest_dependents
from portus_gateway.operations.manifest_dependents import Dependents, ManifestDependents
from portus_gateway.registry.cached import CachedRegistry, Outcome
from portus_gateway.registry.fresh import FreshRegistry
from portus_gateway.registry.protocol import Cursor, Page, Reference
from tests.scripted_registry import ScriptedRegistry, manifest_of

APP = Repository("team/app")
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Unobserved:
    def manifest_answered(self, outcome: Outcome) -> None:
        pass

    def cache_resized(self, size: int, entries: int) -> None:
        pass


@pytest.fixture
async def registry() -> AsyncIterator[DevRegistry]:
    async with DevRegistry() as served:
        yield served


def configuration_of(registry: DevRegistry) -> Configuration:
    return Configuration(
        url=registry.url,
        credentials=Credentials(registry.username, StaticPassword(registry.password)),
        token_realm=registry.realm,
        retries=RetryPolicy(attempts=1),
    )


@asynccontextmanager
async def looking_at(registry: DevRegistry) -> AsyncIterator[ManifestDependents]:
    async with DistributionClient(configuration_of(registry)) as client:
        cached = CachedRegistry(client, 1024 * 1024, Unobserved())
        yield ManifestDependents(FreshRegistry(client, cached), 4)


async def needing(registry: DevRegistry, digest: str, *, with_indexes: bool = True) -> tuple[list[str], ...]:
    """The tags, the tags of indexes, and the tags of indexes that cannot be read."""
    async with looking_at(registry) as dependents:
        found = await dependents.of(APP, Digest(digest), with_indexes=with_indexes)
    return tuple([tag.name for tag in tags] for tags in (found.tags, found.index_tags, found.unreadable_index_tags))


def pushed(registry: DevRegistry, tag: str, content: Content) -> str:
    return registry.push(APP.name, tag, content=content)


@pytest.mark.parametrize("form", ["oci", "docker"])
async def test_a_child_is_needed_by_the_index_over_it(registry: DevRegistry, form: str) -> None:
    whole = multi_platform(format="docker" if form == "docker" else "oci")
    one, other = whole.children
    pushed(registry, "1.0-amd64", one)
    pushed(registry, "1.0-arm64", other)
    pushed(registry, "1.0", whole)
    pushed(registry, "latest", whole)
    pushed(registry, "other", multi_platform("other"))
    assert await needing(registry, one.digest) == (["1.0-amd64"], ["1.0", "latest"], [])
    assert await needing(registry, whole.digest) == (["1.0", "latest"], [], [])


async def test_an_index_within_an_index_counts_however_deep(registry: DevRegistry) -> None:
    child = image("child")
    inner = index([child])
    middle = index([image("x"), inner])
    outer = index([middle, image("y")])
    pushed(registry, "outer", outer)
    pushed(registry, "also", index([middle]))
    pushed(registry, "else", index([image("x")]))
    for content in (child, inner, middle):
        assert await needing(registry, content.digest) == ([], ["also", "outer"], [])


async def test_a_child_whose_type_says_nothing_is_looked_into(registry: DevRegistry) -> None:
    child = image("child")
    inner = index([child])
    for content in (child, inner):
        pushed(registry, "inner", content)
    registry.untag(APP.name, "inner")
    for number, media_type in enumerate((None, "", "application/json", "text/plain", "application/octet-stream")):
        entry = {"digest": inner.digest, "size": len(inner.manifest)}
        if media_type is not None:
            entry["mediaType"] = media_type
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
        pushed(registry, f"v{number}", raw_manifest(json.dumps(document).encode(), OCI_INDEX))
    assert await needing(registry, child.digest) == ([], ["v0", "v1", "v2", "v3", "v4"], [])


async def test_a_repository_without_a_list_of_tags_has_none(registry: DevRegistry) -> None:
    digest = pushed(registry, "1.0", image("a"))
    unknown = b'{"errors": [{"code": "NAME_UNKNOWN", "message": "repository name not known to registry"}]}'
    with (
        registry.inject(Fault(route="tags", status=404, body=unknown)),
        registry.inject(Fault(route="catalog", status=404)),
    ):
        assert await needing(registry, digest) == ([], [], [])
    with registry.inject(Fault(route="tags", status=404, body=b"<html>")), pytest.raises(RegistryFault):
        await needing(registry, digest)


async def test_a_list_of_tags_that_ends_in_the_middle_is_an_error() -> None:
    class Vanishing(ScriptedRegistry):
        async def list_tags(
            self, repository: Repository, size: int | None, after: Cursor | None = None
        ) -> Page[Tag | UnusableName]:
            if after is not None:
                raise NotFound("gone", reason="NAME_UNKNOWN")
            return await super().list_tags(repository, 2, after)

    vanishing = Vanishing({"team/app": {f"v{number}": "one" for number in range(5)}})
    with pytest.raises(NotFound):
        await ManifestDependents(vanishing, 4).of(APP, manifest_of("one").descriptor.digest, with_indexes=True)


@pytest.mark.parametrize("asked", ["team/app", "team/app:1.0"])
async def test_a_policy_that_hides_the_repository_meanwhile_is_an_error(asked: str) -> None:
    registry = ScriptedRegistry({"team/app": {"1.0": "one"}})
    registry.failures[asked] = Hidden("no", reason="MANIFEST_UNKNOWN")
    with pytest.raises(Hidden):
        await ManifestDependents(registry, 4).of(APP, manifest_of("one").descriptor.digest, with_indexes=True)


class OfOddTypes(ScriptedRegistry):
    """Does not say what its tags lead to, and fails where that is asked."""

    def __init__(self, failure: GatewayError) -> None:
        super().__init__({"team/app": {"1.0": "one", "old": "two"}})
        self.failures[f"team/app@{manifest_of('two').descriptor.digest}"] = failure

    async def resolve_manifest(
        self, repository: Repository, reference: Reference, max_staleness: float = 0
    ) -> Descriptor:
        return replace(await super().resolve_manifest(repository, reference), media_type="application/json")


async def test_an_index_that_is_gone_although_a_tag_pointed_to_it_may_have_been_replaced_by_another() -> None:
    """The tag may have moved meanwhile, to an index that contains the manifest."""
    digest = manifest_of("one").descriptor.digest
    gone = OfOddTypes(NotFound("no", reason="MANIFEST_UNKNOWN"))
    found = await ManifestDependents(gone, 4).of(APP, digest, with_indexes=True)
    assert found == Dependents(tags=(Tag("1.0"),), unreadable_index_tags=(Tag("old"),))


async def test_a_policy_that_hides_an_index_meanwhile_is_an_error() -> None:
    hidden = OfOddTypes(Hidden("no", reason="MANIFEST_UNKNOWN"))
    with pytest.raises(Hidden):
        await ManifestDependents(hidden, 4).of(APP, manifest_of("one").descriptor.digest, with_indexes=True)


async def test_a_manifest_of_schema_1_is_no_index_and_another_refusal_an_error() -> None:
    digest = manifest_of("one").descriptor.digest
    schema_1 = OfOddTypes(Unsupported("too old", reason="SCHEMA_1"))
    found = await ManifestDependents(schema_1, 4).of(APP, digest, with_indexes=True)
    assert found == Dependents(tags=(Tag("1.0"),))
    with pytest.raises(Unsupported):
        await ManifestDependents(OfOddTypes(Unsupported("no")), 4).of(APP, digest, with_indexes=True)


async def test_images_and_artifacts_are_not_fetched(registry: DevRegistry) -> None:
    digest = pushed(registry, "1.0", image("a"))
    pushed(registry, "2.0", image("b"))
    pushed(registry, "3.0", image("c", format="docker"))
    pushed(registry, "schema-1", raw_manifest(b"{}", "application/vnd.docker.distribution.manifest.v1+prettyjws"))
    pushed(registry, "chart", artifact("application/vnd.cncf.helm.chart.v1+json", {"chart": b"x"}))
    assert await needing(registry, digest) == (["1.0"], [], [])
    assert registry.requests.count(route="manifests", method="GET") == 0


async def test_each_index_is_read_once_and_then_remembered(registry: DevRegistry) -> None:
    inner = index([image("child")])
    for number in range(5):
        pushed(registry, f"v{number}", index([inner, image("x")]))
        pushed(registry, f"w{number}", index([inner, image(f"y{number}")]))
    child = inner.children[0]
    async with looking_at(registry) as dependents:
        for _ in range(2):
            found = await dependents.of(APP, Digest(child.digest), with_indexes=True)
            assert len(found.index_tags) == 10
            # The one under v0 to v4, the five under w0 to w4, and the one within.
            assert registry.requests.count(route="manifests", method="GET") == 7
    # The tags were looked at both times.
    assert registry.requests.count(route="manifests", method="HEAD") == 20


async def test_an_index_is_not_read_to_find_out_what_needs_it(registry: DevRegistry) -> None:
    digest = pushed(registry, "1.0", index([image("a")]))
    with registry.inject(Fault(route="manifests", method="GET", status=503)):
        assert await needing(registry, digest) == (["1.0"], [], [])
    inner = index([image("b")])
    pushed(registry, "outer", index([inner]))
    # The two tagged indexes are read first, in any order.
    with registry.inject(Fault(route="manifests", method="GET", after=2, status=503)):
        assert await needing(registry, inner.digest) == ([], ["outer"], [])


async def test_no_index_is_read_where_nobody_wants_to_know(registry: DevRegistry) -> None:
    whole = multi_platform()
    pushed(registry, "1.0", whole)
    assert await needing(registry, whole.children[0].digest, with_indexes=False) == ([], [], [])
    assert registry.requests.count(route="manifests", method="GET") == 0


async def test_a_child_that_is_not_there_hides_nothing(registry: DevRegistry) -> None:
    whole = index([index([image("gone")]), image("kept")])
    pushed(registry, "1.0", whole)
    other = pushed(registry, "other", image("other"))
    registry.delete(APP.name, whole.children[0].digest)
    assert await needing(registry, whole.children[1].digest) == ([], ["1.0"], [])
    assert await needing(registry, whole.children[0].digest) == ([], ["1.0"], [])
    assert await needing(registry, other) == (["other"], [], [])


UNREADABLE = {
    "no list of manifests": {"manifests": "nothing"},
    "a digest that is none": {"manifests": [{"mediaType": OCI_MANIFEST, "digest": "sha256:1", "size": 1}]},
    "not the type that it is sent as": {"mediaType": DOCKER_LIST, "manifests": []},
}


@pytest.mark.parametrize("document", UNREADABLE.values(), ids=UNREADABLE)
async def test_an_index_whose_content_cannot_be_read_may_contain_anything(
    registry: DevRegistry, document: dict[str, object]
) -> None:
    digest = pushed(registry, "1.0", image("a"))
    broken = raw_manifest(json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX} | document).encode(), OCI_INDEX)
    pushed(registry, "broken", broken)
    pushed(registry, "over", index([broken]))
    assert await needing(registry, digest) == (["1.0"], [], ["broken", "over"])


async def test_an_index_that_arrives_damaged_may_contain_anything(registry: DevRegistry) -> None:
    digest = pushed(registry, "1.0", image("a"))
    pushed(registry, "index", index([image("b")]))
    with registry.inject(Fault(route="manifests", method="GET", corrupt=True)):
        assert await needing(registry, digest) == (["1.0"], [], ["index"])


async def test_an_unknown_type_is_judged_by_its_content(registry: DevRegistry) -> None:
    digest = pushed(registry, "1.0", image("a"))
    pushed(registry, "plain", raw_manifest(b'{"some": {"manifests": []}}', "application/vnd.example+json"))
    listing = {"Manifests": [{"digest": digest}]}
    pushed(registry, "odd", raw_manifest(json.dumps(listing).encode(), "application/vnd.example+json"))
    pushed(registry, "none", raw_manifest(b"no JSON", "application/vnd.example"))
    pushed(registry, "list", raw_manifest(b"[]", "application/vnd.example"))
    tags, containing, unreadable = await needing(registry, digest)
    assert tags == ["1.0"]
    # Whoever understands the type may find it in there: it keeps the manifest, one way or the other.
    assert "odd" in containing + unreadable
    assert "plain" not in containing + unreadable
    assert {"none", "list"} <= set(unreadable)


@pytest.mark.parametrize(
    ("beginning", "may_list"),
    [(b'{"some": ', False), (b'{"Manifests": ', True), (b'{"m\\u0061nifests": ', True), (b"[", True), (b"x", True)],
)
async def test_a_large_manifest_of_an_unknown_type_is_judged_without_being_read(
    registry: DevRegistry, beginning: bytes, may_list: bool
) -> None:
    digest = pushed(registry, "1.0", image("a"))
    content = beginning + b'"' + b"y" * 64 * 1024 + (b'"]' if beginning == b"[" else b'"}')
    pushed(registry, "large", raw_manifest(content, "application/vnd.example+json"))
    assert await needing(registry, digest) == (["1.0"], [], ["large"] if may_list else [])


@pytest.mark.parametrize("status", [503, 429])
async def test_an_index_that_cannot_be_read_now_is_an_error(registry: DevRegistry, status: int) -> None:
    digest = pushed(registry, "1.0", image("a"))
    pushed(registry, "index", index([image("b")]))
    fault = Fault(route="manifests", method="GET", status=status)
    with registry.inject(fault), pytest.raises(Exception, match=str(status)) as caught:
        await needing(registry, digest)
    assert isinstance(caught.value, Unavailable) or caught.value.reason == "TOOMANYREQUESTS"  # type: ignore[attr-defined]


async def test_a_manifest_has_a_digest_in_each_algorithm(registry: DevRegistry) -> None:
    child = image("child", algorithm="sha512")
    pushed(registry, "child", child)
    whole = {"mediaType": OCI_MANIFEST, "digest": Digest.of(child.manifest).text, "size": len(child.manifest)}
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [whole]}
    pushed(registry, "1.0", raw_manifest(json.dumps(document).encode(), OCI_INDEX))
    assert child.digest.startswith("sha512:")
    pushed(registry, "2.0", raw_manifest(json.dumps(document, indent=1).encode(), OCI_INDEX))
    assert await needing(registry, child.digest) == (["child"], ["1.0", "2.0"], [])
    # The two indexes, and the manifest itself: its bytes tell its other digest.
    assert registry.requests.count(route="manifests", method="GET") == 3


async def test_a_manifest_is_read_once_to_learn_its_other_digest(registry: DevRegistry) -> None:
    child = image("child")
    pushed(registry, "child", child)
    content = child.manifest
    entry = {"mediaType": OCI_MANIFEST, "digest": Digest.of(content, "sha512").text, "size": len(content)}
    for number in range(4):
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] * (number + 1)}
        pushed(registry, f"v{number}", raw_manifest(json.dumps(document).encode(), OCI_INDEX))
    async with DistributionClient(configuration_of(registry)) as client:
        found = await ManifestDependents(client, 4).of(APP, Digest(child.digest), with_indexes=True)
    assert found.index_tags == tuple(Tag(f"v{number}") for number in range(4))
    # The four indexes, and the manifest.
    assert registry.requests.count(route="manifests", method="GET") == 5


async def test_a_signature_is_kept_by_the_index_of_referrers_and_keeps_no_image(registry: DevRegistry) -> None:
    signed = image("signed")
    signature = artifact("application/vnd.example.signature", {"signature": b"x"}, subject=signed)
    pushed(registry, "1.0", signed)
    referrers = f"sha256-{signed.digest.removeprefix('sha256:')}"
    pushed(registry, referrers, index([signature]))
    pushed(registry, f"{referrers}.sig", signature)
    assert await needing(registry, signed.digest) == (["1.0"], [], [])
    assert await needing(registry, signature.digest) == ([f"{referrers}.sig"], [referrers], [])


async def test_what_is_nested_too_much_counts_as_unreadable(
    registry: DevRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest_dependents, "_MOST_NESTED", 2)
    child = image("child")
    pushed(registry, "two", index([index([index([child])])]))
    assert await needing(registry, child.digest) == ([], ["two"], [])
    registry.untag(APP.name, "two")
    pushed(registry, "deep", index([index([index([index([child])])])]))
    assert await needing(registry, child.digest) == ([], [], ["deep"])
    pushed(registry, "child", child)
    assert await needing(registry, child.digest) == (["child"], [], ["deep"])


async def test_paths_that_meet_again_are_walked_once(registry: DevRegistry) -> None:
    # Each level lists the one below twice: 2^40 paths, 40 indexes.
    child = image("child")
    pushed(registry, "x", child)
    below = child
    for _ in range(40):
        entry = {"mediaType": below.media_type, "digest": below.digest, "size": len(below.manifest)}
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry, entry]}
        below = raw_manifest(json.dumps(document).encode(), OCI_INDEX)
        pushed(registry, "x", below)
    registry.untag(APP.name, "x")
    pushed(registry, "deep", below)
    assert await needing(registry, child.digest) == ([], ["deep"], [])
    assert registry.requests.count(route="manifests", method="GET") == 40
