"""Configurations of images, compared with what skopeo reads."""

import json
from typing import TYPE_CHECKING

import grpc
import pytest

from portus.registry.v1 import image_config_pb2, manifest_pb2
from portus.registry.v1.registry_service_pb2 import (
    BatchGetImageConfigsRequest,
    BatchGetImageConfigsResult,
    GetImageConfigRequest,
)
from portus_gateway.devregistry import artifact, image, multi_platform
from tests.real.gateways import failure_of
from tests.real.image_tools import ImageTools

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

pytestmark = pytest.mark.asyncio(loop_scope="session")


def asking_for(repository: str, tag: str, platform: manifest_pb2.Platform | None = None) -> GetImageConfigRequest:
    return GetImageConfigRequest(repository=repository, tag=tag, platform=platform)


async def config(gateway: "RegistryServiceAsyncStub", request: GetImageConfigRequest) -> image_config_pb2.ImageConfig:
    return (await gateway.GetImageConfig(request)).image_config


async def test_the_configuration_is_what_skopeo_reads(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    await images.push(repository, "v1", content=image(repository, layers=2))
    await images.push_as_docker(repository, "docker", content=image(repository, layers=2))
    for tag in ("v1", "docker"):
        found = await config(gateway, asking_for(repository, tag))
        raw = await images.configuration(repository, tag)
        assert found.raw == raw
        document = json.loads(raw)
        assert found.manifest.digest == await images.digest(repository, tag)
        assert found.platform.architecture == document["architecture"]
        assert dict(found.labels) == document["config"]["Labels"] == {"seed": repository}
        assert list(found.env) == document["config"]["Env"]
        assert list(found.diff_ids) == document["rootfs"]["diff_ids"]
        assert [step.created_by for step in found.history] == [step["created_by"] for step in document["history"]]
        assert found.created.ToJsonString() == document["created"]
        assert not found.HasField("content_status")


async def test_the_configuration_for_a_platform(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    content = multi_platform(repository)
    await images.push(repository, "v1", content=content)
    for child, architecture in zip(content.children, ("amd64", "arm64"), strict=True):
        platform = manifest_pb2.Platform(os="linux", architecture=architecture)
        found = await config(gateway, asking_for(repository, "v1", platform))
        assert found.manifest.digest == child.digest
        assert found.raw == await images.configuration(repository, child.digest)
        assert found.platform.architecture == architecture
    failure = await failure_of(config(gateway, asking_for(repository, "v1")))
    assert failure.kind == (grpc.StatusCode.FAILED_PRECONDITION, "PLATFORM_REQUIRED")


async def test_an_artifact_has_no_configuration(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    await images.push(repository, "sbom", content=artifact("application/vnd.example.sbom", {"sbom": b"{}"}))
    failure = await failure_of(config(gateway, asking_for(repository, "sbom")))
    assert failure.kind == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_AN_IMAGE")
    assert "application/vnd.example.sbom" in failure.message


async def test_many_configurations_in_one_call(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    tags = [f"v{number}" for number in range(4)]
    for tag in tags:
        await images.push(repository, tag, content=image(f"{repository} {tag}"))
    request = BatchGetImageConfigsRequest(requests=[asking_for(repository, tag) for tag in (*tags, "absent")])
    found: dict[int, BatchGetImageConfigsResult] = {}
    async for response in gateway.BatchGetImageConfigs(request):
        found |= {result.request_index: result for result in response.results}
    assert [found[index].image_config.labels["seed"] for index in range(4)] == [f"{repository} {tag}" for tag in tags]
    assert found[4].status.code == grpc.StatusCode.NOT_FOUND.value[0]
