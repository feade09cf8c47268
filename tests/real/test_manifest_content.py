"""Manifests that real registries serve although readers may see different content; and the choice of a platform."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo

from portus.registry.v1 import manifest_pb2
from portus_gateway.devregistry import Content, image, index, raw_manifest
from tests.real.backends import GO_CONTAINERREGISTRY, Backend
from tests.real.gateways import failure_of
from tests.real.test_manifests import OCI_INDEX, OCI_MANIFEST, asking_for, manifest

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

pytestmark = pytest.mark.asyncio(loop_scope="session")

CASES = Path(__file__).parents[1] / "cases/manifests"
AMD64 = manifest_pb2.Platform(os="linux", architecture="amd64")


without_children = pytest.mark.not_over(GO_CONTAINERREGISTRY, reason="it takes an index only with its manifests")


@pytest.mark.parametrize(
    ("name", "media_type", "reason"),
    [
        ("a1-annotations-twice", OCI_MANIFEST, "CONTENT_AMBIGUOUS"),
        pytest.param("a1-architecture-by-case", OCI_INDEX, "CONTENT_AMBIGUOUS", marks=without_children),
        ("a1-config-twice", OCI_MANIFEST, "CONTENT_AMBIGUOUS"),
        ("a1-layers-by-case", OCI_MANIFEST, "CONTENT_AMBIGUOUS"),
        pytest.param("a1-manifests-by-case", OCI_INDEX, "CONTENT_AMBIGUOUS", marks=without_children),
        ("a2-negative-size", OCI_MANIFEST, "CONTENT_INVALID"),
        ("a2-nested-2000", OCI_MANIFEST, "CONTENT_INVALID"),
        ("a2-no-utf8", OCI_MANIFEST, "CONTENT_INVALID"),
    ],
)
async def test_right_bytes_are_answered_with_the_reason_why_they_are_not_shown(
    gateway: "RegistryServiceAsyncStub", backend: Backend, repository: str, name: str, media_type: str, reason: str
) -> None:
    content = raw_manifest((CASES / f"{name}.json").read_bytes(), media_type)
    backend.plant(repository, "v1", content)
    for reference in ("v1", content.digest):
        found = await manifest(gateway, repository, reference)
        assert found.raw == content.manifest
        assert found.WhichOneof("content") is None
        info = ErrorInfo()
        assert found.content_status.details[0].Unpack(info)
        assert info.reason == reason


def plant_all(backend: Backend, repository: str, tag: str, content: Content) -> None:
    for number, child in enumerate(content.children):
        plant_all(backend, repository, f"{tag}-{number}", child)
    backend.plant(repository, tag, content)


async def test_the_image_for_a_platform_is_found_in_an_index_in_the_index(
    gateway: "RegistryServiceAsyncStub", backend: Backend, repository: str
) -> None:
    inner = index([image(repository, platform=platform) for platform in ("linux/arm/v6", "linux/arm/v7")])
    content = index([inner, image(repository, platform="linux/amd64")])
    plant_all(backend, repository, "v1", content)
    for architecture, variant, due in (
        ("arm", "", inner.children[1]),
        ("arm64", "v8", inner.children[1]),
        ("arm", "v6", inner.children[0]),
        ("x86_64", "", content.children[1]),
    ):
        asked = manifest_pb2.Platform(os="linux", architecture=architecture, variant=variant)
        assert (await manifest(gateway, repository, "v1", asked)).descriptor.digest == due.digest


async def test_an_image_without_a_platform_in_the_index_has_the_one_of_its_configuration(
    gateway: "RegistryServiceAsyncStub", backend: Backend, repository: str
) -> None:
    images = [image(repository, platform=platform) for platform in ("linux/arm64", "linux/amd64")]
    content = index([replace(one, platform="") for one in images])
    assert "platform" not in json.loads(content.manifest)["manifests"][0]
    plant_all(backend, repository, "v1", content)
    assert (await manifest(gateway, repository, "v1", AMD64)).descriptor.digest == images[1].digest


@without_children
async def test_an_index_whose_content_cannot_be_read_is_not_the_answer_for_a_platform(
    gateway: "RegistryServiceAsyncStub", backend: Backend, repository: str
) -> None:
    content = raw_manifest((CASES / "a1-architecture-by-case.json").read_bytes(), OCI_INDEX)
    backend.plant(repository, "v1", content)
    failure = await failure_of(gateway.GetManifest(asking_for(repository, "v1", AMD64)))
    assert failure.kind == (grpc.StatusCode.FAILED_PRECONDITION, "PLATFORM_UNDECIDED")
