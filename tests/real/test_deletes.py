"""Deletes: what they remove and what they refuse, checked with skopeo."""

import json
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from portus.registry.v1 import registry_service_pb2
from portus_gateway.devregistry import Content, image, multi_platform
from tests.real.backends import (
    DEV_2_8,
    DEV_3_1,
    DEV_OCI_1_1,
    DISTRIBUTION,
    DOCKER_REGISTRY,
    GO_CONTAINERREGISTRY,
    Backend,
)
from tests.real.gateways import Failure, failure_of, gateway_over
from tests.real.image_tools import ImageTools, ToolFailed

if TYPE_CHECKING:
    from pathlib import Path

    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

pytestmark = pytest.mark.asyncio(loop_scope="session")

TAGGED = (grpc.StatusCode.FAILED_PRECONDITION, "TAGGED")
UNSUPPORTED = (grpc.StatusCode.FAILED_PRECONDITION, "UNSUPPORTED")
MANIFEST_UNKNOWN = (grpc.StatusCode.NOT_FOUND, "MANIFEST_UNKNOWN")
ANY_AGE = Duration(seconds=600)
BY_DIGEST_ONLY = "it deletes by digest only"
DELETES_TAGS = "it deletes tags"


def deletion(
    repository: str,
    digest: str,
    *expected_tags: str,
    force: bool = False,
    validate_only: bool = False,
) -> registry_service_pb2.DeleteManifestRequest:
    return registry_service_pb2.DeleteManifestRequest(
        repository=repository, digest=digest, expected_tags=expected_tags, force=force, validate_only=validate_only
    )


def blob_deletion(
    repository: str, digest: str, *, validate_only: bool = False
) -> registry_service_pb2.DeleteBlobRequest:
    return registry_service_pb2.DeleteBlobRequest(repository=repository, digest=digest, validate_only=validate_only)


def layer_of(content: Content) -> str:
    digest: str = json.loads(content.manifest)["layers"][0]["digest"]
    return digest


async def test_a_tag_that_the_caller_did_not_expect_stops_a_delete(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    digest = await images.push(repository, "v1", "stable", content=image(repository))
    for validate_only in (True, False):
        failure = await failure_of(
            gateway.DeleteManifest(deletion(repository, digest, "v1", validate_only=validate_only))
        )
        assert failure.kind == TAGGED
        assert failure.violations == ("stable",)
        assert "stable" in failure.message
    assert await images.digest(repository, "v1") == await images.digest(repository, "stable") == digest


async def test_a_delete_takes_the_expected_tags_and_nothing_else(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    digest = await images.push(repository, "v1", "stable", content=image("goes"))
    kept = await images.push(repository, "v2", content=image("stays"))
    answer = await gateway.DeleteManifest(deletion(repository, digest, "v1", "stable", "v0"))
    assert (answer.digest, list(answer.deleted_tags)) == (digest, ["stable", "v1"])
    assert list(answer.remaining_tags) == []
    for reference in (digest, "v1", "stable"):
        assert not await images.holds(repository, reference)
    assert await images.digest(repository, "v2") == kept
    await images.pull(repository, "v2")


async def test_force_takes_all_tags(gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str) -> None:
    digest = await images.push(repository, "v1", "stable", content=image(repository))
    answer = await gateway.DeleteManifest(deletion(repository, digest, force=True))
    assert list(answer.deleted_tags) == ["stable", "v1"]
    assert not await images.holds(repository, "stable")


async def test_validate_only_deletes_nothing(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    content = image(repository)
    digest = await images.push(repository, "v1", content=content)
    answer = await gateway.DeleteManifest(deletion(repository, digest, "v1", validate_only=True))
    assert (answer.digest, list(answer.deleted_tags)) == (digest, ["v1"])
    await gateway.DeleteBlob(blob_deletion(repository, layer_of(content), validate_only=True))
    await images.pull(repository, "v1")


async def test_a_manifest_without_tags_is_deleted(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    digest = await images.push(repository, "v1", content=image("first"))
    await images.push(repository, "v1", content=image("second"))
    assert await images.holds(repository, digest)
    answer = await gateway.DeleteManifest(deletion(repository, digest))
    assert list(answer.deleted_tags) == []
    assert not await images.holds(repository, digest)
    await images.pull(repository, "v1")


async def test_a_repository_in_which_nothing_ever_had_a_tag(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    digest = await images.push_untagged(repository, content=image(repository))
    listed = await gateway.ListTags(registry_service_pb2.ListTagsRequest(repository=repository))
    assert (list(listed.tags), listed.next_page_token) == ([], "")
    for validate_only in (True, False):
        answer = await gateway.DeleteManifest(deletion(repository, digest, validate_only=validate_only))
        assert (list(answer.deleted_tags), list(answer.remaining_tags)) == ([], [])
    assert not await images.holds(repository, digest)
    failure = await failure_of(gateway.DeleteManifest(deletion(repository, digest)))
    assert failure.kind == MANIFEST_UNKNOWN


async def test_an_index_is_deleted_and_its_children_stay(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    content = multi_platform(repository)
    await images.push(repository, "v1", content=content)
    answer = await gateway.DeleteManifest(deletion(repository, content.digest, "v1"))
    assert list(answer.deleted_tags) == ["v1"]
    assert not await images.holds(repository, content.digest)
    assert await images.holds(repository, content.children[0].digest)


@pytest.mark.parametrize("form", ["OCI", "Docker"])
async def test_a_child_of_a_tagged_index_is_kept_unless_forced(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str, form: str
) -> None:
    content = multi_platform(repository)
    push = images.push if form == "OCI" else images.push_as_docker
    await push(repository, "1.0", content=content)
    child, other = (entry["digest"] for entry in json.loads(await images.raw(repository, "1.0"))["manifests"])
    for expected in ((), ("1.0",)):
        for validate_only in (True, False):
            failure = await failure_of(
                gateway.DeleteManifest(deletion(repository, child, *expected, validate_only=validate_only))
            )
            assert failure.kind == (grpc.StatusCode.FAILED_PRECONDITION, "REFERENCED")
            assert failure.violations == ("1.0",)
    await images.pull(repository, "1.0")
    answer = await gateway.DeleteManifest(deletion(repository, child, force=True))
    assert list(answer.deleted_tags) == []
    assert not await images.holds(repository, child)
    assert await images.holds(repository, other)


async def test_a_deleted_manifest_is_not_found(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    digest = await images.push(repository, "v1", content=image(repository))
    await gateway.DeleteManifest(deletion(repository, digest, "v1"))
    for validate_only in (True, False):
        failure = await failure_of(
            gateway.DeleteManifest(deletion(repository, digest, "v1", validate_only=validate_only))
        )
        assert failure.kind == MANIFEST_UNKNOWN
        assert failure.resource == f"manifest {repository}@{digest}"


async def test_a_blob_is_not_deleted_as_a_manifest(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    content = image(repository)
    await images.push(repository, "v1", content=content)
    # Registry 2.8 would take the blob away, and say that all is well.
    failure = await failure_of(gateway.DeleteManifest(deletion(repository, layer_of(content), force=True)))
    assert failure.kind == MANIFEST_UNKNOWN
    await images.pull(repository, "v1")


async def test_a_blob_is_deleted(gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str) -> None:
    content = image(repository)
    await images.push(repository, "v1", content=content)
    answer = await gateway.DeleteBlob(blob_deletion(repository, layer_of(content)))
    assert answer.digest == layer_of(content)
    with pytest.raises(ToolFailed, match=r"blob unknown|404"):
        await images.pull(repository, "v1")
    failure = await failure_of(gateway.DeleteBlob(blob_deletion(repository, layer_of(content))))
    assert failure.kind == (grpc.StatusCode.NOT_FOUND, "BLOB_UNKNOWN")


async def test_a_manifest_is_not_deleted_as_a_blob(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    digest = await images.push(repository, "v1", content=image(repository))
    failure = await failure_of(gateway.DeleteBlob(blob_deletion(repository, digest)))
    assert failure.kind == (grpc.StatusCode.FAILED_PRECONDITION, "IS_MANIFEST")
    await images.pull(repository, "v1")


async def test_deleting_in_an_unknown_repository(gateway: "RegistryServiceAsyncStub", repository: str) -> None:
    digest = "sha256:" + "0" * 64
    for call in (
        gateway.DeleteManifest(deletion(repository, digest)),
        gateway.DeleteBlob(blob_deletion(repository, digest)),
    ):
        assert (await failure_of(call)).code == grpc.StatusCode.NOT_FOUND


@pytest.mark.not_over(GO_CONTAINERREGISTRY, reason="it has no settings")
async def test_a_registry_that_does_not_delete_says_so(restricted: Backend, tmp_path: "Path", repository: str) -> None:
    images = ImageTools.of(restricted, tmp_path)
    content = image(repository)
    await images.push(repository, "v1", content=content)
    async with gateway_over(restricted.configuration()) as gateway:
        for validate_only in (True, False):
            for call in (
                gateway.DeleteManifest(deletion(repository, content.digest, "v1", validate_only=validate_only)),
                gateway.DeleteBlob(blob_deletion(repository, layer_of(content), validate_only=validate_only)),
            ):
                assert (await failure_of(call)).kind == UNSUPPORTED
    await images.pull(repository, "v1")


async def test_a_gateway_that_does_not_delete_says_so(backend: Backend, images: ImageTools, repository: str) -> None:
    digest = await images.push(repository, "v1", content=image(repository))
    async with gateway_over(backend.configuration(), deletion_enabled=False) as gateway:
        failure = await failure_of(gateway.DeleteManifest(deletion(repository, digest, "v1", force=True)))
        assert failure.kind == (grpc.StatusCode.FAILED_PRECONDITION, "DELETION_DISABLED")
        assert "PORTUS_ALLOW_DELETE" in failure.message
    assert await images.holds(repository, digest)


# --- Tags alone -------------------------------------------------------------------------------------------------


def tag_deletion(
    repository: str, tag: str, expected: str = "", *, validate_only: bool = False
) -> registry_service_pb2.DeleteTagRequest:
    return registry_service_pb2.DeleteTagRequest(
        repository=repository, tag=tag, expected_digest=expected, validate_only=validate_only
    )


@pytest.mark.not_over(DOCKER_REGISTRY, reason=BY_DIGEST_ONLY)
@pytest.mark.not_over(DEV_2_8, reason=BY_DIGEST_ONLY)
async def test_a_tag_goes_and_its_manifest_and_other_tags_stay(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    digest = await images.push(repository, "v1", "stable", content=image(repository))
    other = await images.push(repository, "v2", content=image("other"))
    failure = await failure_of(gateway.DeleteTag(tag_deletion(repository, "v1", other)))
    assert failure.kind == (grpc.StatusCode.FAILED_PRECONDITION, "TAG_MOVED")
    for validate_only in (True, False):
        answer = await gateway.DeleteTag(tag_deletion(repository, "v1", digest, validate_only=validate_only))
        assert answer.digest == digest
        assert await images.holds(repository, "v1") is validate_only
    assert await images.digest(repository, "stable") == digest
    # The last tag, too.
    await gateway.DeleteTag(tag_deletion(repository, "stable"))
    assert await images.holds(repository, digest)
    failure = await failure_of(gateway.DeleteTag(tag_deletion(repository, "stable")))
    assert failure.kind == MANIFEST_UNKNOWN


@pytest.mark.not_over(DISTRIBUTION, reason=DELETES_TAGS)
@pytest.mark.not_over(GO_CONTAINERREGISTRY, reason=DELETES_TAGS)
@pytest.mark.not_over(DEV_3_1, reason=DELETES_TAGS)
@pytest.mark.not_over(DEV_OCI_1_1, reason=DELETES_TAGS)
async def test_a_registry_that_deletes_by_digest_only_says_what_else_can_be_done(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    digest = await images.push(repository, "v1", content=image(repository))
    for validate_only in (True, False):
        failure = await failure_of(gateway.DeleteTag(tag_deletion(repository, "v1", validate_only=validate_only)))
        assert failure.kind == UNSUPPORTED
        assert "DeleteManifest" in failure.message
    assert await images.digest(repository, "v1") == digest


@pytest.mark.not_over(DISTRIBUTION, reason=DELETES_TAGS)
@pytest.mark.not_over(GO_CONTAINERREGISTRY, reason=DELETES_TAGS)
@pytest.mark.not_over(DEV_3_1, reason=DELETES_TAGS)
@pytest.mark.not_over(DEV_OCI_1_1, reason=DELETES_TAGS)
async def test_the_delete_of_a_tag_is_emulated_where_the_operator_allows_it(
    backend: Backend, images: ImageTools, repository: str
) -> None:
    digest = await images.push(repository, "v1", "stable", content=image(repository))
    async with gateway_over(backend.configuration(), emulate_tag_deletion=True) as gateway:
        # The gateway's cache forgets the tag.
        read = registry_service_pb2.GetManifestRequest(repository=repository, tag="v1", max_staleness=ANY_AGE)
        await gateway.GetManifest(read)
        for tag in ("v1", "stable"):
            answer = await gateway.DeleteTag(tag_deletion(repository, tag, digest))
            assert answer.digest == digest
            assert not await images.holds(repository, tag)
        failure = await failure_of(gateway.GetManifest(read))
        assert failure.kind == MANIFEST_UNKNOWN
        listed = await gateway.ListTags(registry_service_pb2.ListTagsRequest(repository=repository))
    assert list(listed.tags) == []
    await images.pull(repository, digest)


# --- Batches ----------------------------------------------------------------------------------------------------


async def batch_outcomes(
    gateway: "RegistryServiceAsyncStub",
    repository: str,
    *requests: registry_service_pb2.DeleteManifestRequest,
    validate_only: bool = False,
) -> list[list[str] | str]:
    """The deleted tags, or the reason of the failure, of each request."""
    batch = registry_service_pb2.BatchDeleteManifestsRequest(
        repository=repository, requests=requests, validate_only=validate_only
    )
    outcomes: dict[int, list[str] | str] = {}
    async for message in gateway.BatchDeleteManifests(batch):
        for result in message.results:
            if result.HasField("status"):
                outcomes[result.request_index] = Failure.of(result.status).reason
            else:
                assert not result.deleted.remaining_tags
                outcomes[result.request_index] = list(result.deleted.deleted_tags)
    return [outcomes[position] for position in range(len(requests))]


async def test_many_manifests_go_in_one_call_with_their_tags_and_no_other(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    contents = {f"v{number}": image(f"{repository} {number}") for number in range(30)}
    tags = {f"{name}{suffix}": content for name, content in contents.items() for suffix in ("", "-again")}
    namespace, _, name = repository.rpartition("/")
    await images.push_many(namespace, {f"{name}:{tag}": content for tag, content in tags.items()})
    requests = [
        deletion(repository, content.digest, tag, f"{tag}-again") for tag, content in list(contents.items())[:24]
    ]
    requests[3] = deletion(repository, contents["v3"].digest, "v3")
    read = registry_service_pb2.GetManifestRequest(repository=repository, tag="v0", max_staleness=ANY_AGE)
    await gateway.GetManifest(read)
    outcomes = await batch_outcomes(gateway, repository, *requests)
    # The gateway's cache forgets the tag.
    assert (await failure_of(gateway.GetManifest(read))).kind == MANIFEST_UNKNOWN
    assert outcomes == ["TAGGED" if n == 3 else [f"v{n}", f"v{n}-again"] for n in range(24)]
    listed = await gateway.ListTags(registry_service_pb2.ListTagsRequest(repository=repository, page_size=1000))
    kept = ["v3", *(f"v{number}" for number in range(24, 30))]
    assert list(listed.tags) == sorted([*kept, *(f"{tag}-again" for tag in kept)])
    for tag in kept:
        assert await images.digest(repository, tag) == contents[tag].digest


async def test_an_index_goes_before_its_images_in_one_call(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    whole = multi_platform()
    await images.push(repository, "whole", content=whole)
    first, second = (child.digest for child in whole.children[:2])
    await images.push(repository, "first", content=whole.children[0])
    for validate_only in (True, False):
        alone = await batch_outcomes(
            gateway, repository, deletion(repository, first, "first"), validate_only=validate_only
        )
        assert alone == ["REFERENCED"]
    requests = [
        deletion(repository, first, "first"),
        deletion(repository, second),
        deletion(repository, whole.digest, "whole"),
    ]
    for validate_only in (True, False):
        outcomes = await batch_outcomes(gateway, repository, *requests, validate_only=validate_only)
        assert outcomes == [["first"], [], ["whole"]]
    for digest in (first, second, whole.digest):
        assert not await images.holds(repository, digest)
