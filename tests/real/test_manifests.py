"""Manifests of every kind, by tag and by digest, compared with what skopeo and buildah pushed."""

import hashlib
import json
from typing import TYPE_CHECKING

import grpc
import pytest

from portus.registry.v1 import manifest_pb2, registry_service_pb2
from portus_gateway.devregistry import artifact, image, multi_platform
from tests.real.backends import Backend
from tests.real.gateways import failure_of
from tests.real.image_tools import ImageTools
from tests.rpc.references import with_reference

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

pytestmark = pytest.mark.asyncio(loop_scope="session")

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
ABSENT = "sha256:" + "0" * 64


def asking_for(
    repository: str, reference: str, platform: manifest_pb2.Platform | None = None
) -> registry_service_pb2.GetManifestRequest:
    return with_reference(registry_service_pb2.GetManifestRequest(repository=repository, platform=platform), reference)


def resolving(repository: str, reference: str) -> registry_service_pb2.ResolveManifestRequest:
    asked = asking_for(repository, reference)
    return registry_service_pb2.ResolveManifestRequest.FromString(asked.SerializeToString())


async def manifest(
    gateway: "RegistryServiceAsyncStub", repository: str, reference: str, platform: manifest_pb2.Platform | None = None
) -> manifest_pb2.Manifest:
    """The manifest, whose digest has to be right. ResolveManifest has to answer with the same descriptor."""
    found = (await gateway.GetManifest(asking_for(repository, reference, platform))).manifest
    assert found.descriptor.digest == f"sha256:{hashlib.sha256(found.raw).hexdigest()}"
    assert found.descriptor.size == len(found.raw)
    if platform is None:
        resolved = (await gateway.ResolveManifest(resolving(repository, reference))).descriptor
        assert resolved.digest == found.descriptor.digest
        assert resolved.media_type == found.descriptor.media_type
        assert resolved.size == found.descriptor.size
    return found


async def test_an_image_by_tag_and_by_digest(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    content = image(repository, layers=3)
    await images.push(repository, "v1", content=content)
    by_tag = await manifest(gateway, repository, "v1")
    by_digest = await manifest(gateway, repository, content.digest)
    assert by_tag == by_digest
    assert by_tag.raw == content.manifest == await images.raw(repository, "v1")
    assert by_tag.descriptor.digest == await images.digest(repository, "v1")
    assert by_tag.descriptor.media_type == OCI_MANIFEST
    document = json.loads(content.manifest)
    assert by_tag.image.image_id == by_tag.image.config.digest == document["config"]["digest"]
    assert [layer.digest for layer in by_tag.image.layers] == [layer["digest"] for layer in document["layers"]]
    assert by_tag.image.total_size == sum(len(blob) for blob in content.blobs.values())


async def test_an_index_and_the_image_of_a_platform(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    content = multi_platform(repository, ("linux/amd64", "linux/arm64", "linux/arm/v7"))
    await images.push(repository, "v1", content=content)
    whole = await manifest(gateway, repository, "v1")
    assert whole.raw == content.manifest == await images.raw(repository, "v1")
    assert whole.descriptor.digest == await images.digest(repository, "v1") == content.digest
    assert whole.descriptor.media_type == OCI_INDEX
    assert [
        (child.platform.os, child.platform.architecture, child.platform.variant) for child in whole.index.manifests
    ] == [
        ("linux", "amd64", ""),
        ("linux", "arm64", ""),
        ("linux", "arm", "v7"),
    ]
    for platform, child in zip(("amd64", "arm64", "arm"), content.children, strict=True):
        asked = manifest_pb2.Platform(os="linux", architecture=platform)
        found = await manifest(gateway, repository, "v1", asked)
        assert found.raw == child.manifest
        assert found.descriptor.digest == child.digest
        assert found.HasField("image")


async def test_a_platform_that_an_index_lacks(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    await images.push(repository, "v1", content=multi_platform(repository))
    asked = manifest_pb2.Platform(os="windows", architecture="amd64")
    failure = await failure_of(manifest(gateway, repository, "v1", asked))
    assert failure.kind == (grpc.StatusCode.NOT_FOUND, "PLATFORM_UNKNOWN")
    assert "linux/amd64, linux/arm64" in failure.message


async def test_an_index_that_buildah_made(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    content = multi_platform(repository)
    digest = await images.push_index_by_buildah(repository, "v1", content=content)
    assert digest != content.digest
    whole = await manifest(gateway, repository, "v1")
    assert whole.descriptor.digest == digest
    assert whole.raw == await images.raw(repository, "v1")
    asked = manifest_pb2.Platform(os="linux", architecture="arm64")
    child = await manifest(gateway, repository, digest, asked)
    assert child.raw == await images.raw(repository, child.descriptor.digest)


async def test_a_docker_list(gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str) -> None:
    digest = await images.push_as_docker(repository, "v1", content=multi_platform(repository))
    whole = await manifest(gateway, repository, "v1")
    # If `Accept` has no lists, the registry answers with the child for amd64.
    assert whole.descriptor.media_type == DOCKER_LIST
    assert whole.descriptor.digest == digest
    assert whole.raw == await images.raw(repository, "v1")
    for child in whole.index.manifests:
        found = await manifest(gateway, repository, "v1", child.platform)
        assert found.descriptor.digest == child.digest == await images.digest(repository, child.digest)
        assert found.descriptor.media_type == DOCKER_MANIFEST
        assert found.image.total_size > 0


async def test_an_artifact(gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str) -> None:
    signed = image(repository)
    content = artifact("application/vnd.example.signature", {"signature": b"signed"}, subject=signed)
    await images.push(repository, "v1", content=signed)
    await images.push(repository, "v1.sig", content=content)
    found = await manifest(gateway, repository, "v1.sig")
    assert found.raw == content.manifest == await images.raw(repository, "v1.sig")
    assert found.image.artifact_type == found.descriptor.artifact_type == "application/vnd.example.signature"
    assert found.image.subject.digest == signed.digest
    assert found.image.layers[0].annotations["org.opencontainers.image.title"] == "signature"


async def test_an_artifact_without_config(
    gateway: "RegistryServiceAsyncStub", backend: Backend, images: ImageTools, repository: str
) -> None:
    content = artifact("application/vnd.example.note", {"note": b"to whom it may concern"}, config=False)
    backend.plant(repository, "v1", content)
    found = await manifest(gateway, repository, "v1")
    assert found.raw == content.manifest == await images.raw(repository, "v1")
    assert not found.image.HasField("config")
    assert found.image.image_id == ""
    assert found.image.total_size == len(b"to whom it may concern")


@pytest.mark.parametrize("reference", ["v2", ABSENT], ids=["tag", "digest"])
async def test_an_unknown_manifest(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str, reference: str
) -> None:
    await images.push(repository, "v1", content=image(repository))
    for failure in (
        await failure_of(gateway.GetManifest(asking_for(repository, reference))),
        await failure_of(gateway.ResolveManifest(resolving(repository, reference))),
    ):
        assert failure.kind == (grpc.StatusCode.NOT_FOUND, "MANIFEST_UNKNOWN")
        assert failure.resource.startswith(f"manifest {repository}")


@pytest.mark.parametrize("reference", ["v2", ABSENT], ids=["tag", "digest"])
async def test_a_manifest_of_an_unknown_repository(
    gateway: "RegistryServiceAsyncStub", repository: str, reference: str
) -> None:
    failure = await failure_of(gateway.GetManifest(asking_for(repository, reference)))
    assert failure.code == grpc.StatusCode.NOT_FOUND
    # Which of the two is up to the registry.
    assert failure.reason in ("NAME_UNKNOWN", "MANIFEST_UNKNOWN")
