"""Details of tags, over each registry."""

from typing import TYPE_CHECKING

import grpc
import pytest

from portus.registry.v1.manifest_pb2 import Platform
from portus.registry.v1.registry_service_pb2 import (
    BatchResolveManifestsRequest,
    BatchResolveManifestsResult,
    ListTagsRequest,
    ListTagsResponse,
    ResolveManifestRequest,
)
from portus_gateway.devregistry import Content, artifact, image, multi_platform
from tests.real.image_tools import ImageTools

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def listed(gateway: "RegistryServiceAsyncStub", request: ListTagsRequest) -> list[ListTagsResponse]:
    """All pages."""
    pages = [await gateway.ListTags(request)]
    while pages[-1].next_page_token:
        assert len(pages) < 100, "the listing has no end"
        request.page_token = pages[-1].next_page_token
        pages.append(await gateway.ListTags(request))
    return pages


def tags(pages: list[ListTagsResponse]) -> list[str]:
    return [tag for page in pages for tag in page.tags]


def size(*contents: Content) -> int:
    blobs = {digest: data for content in contents for digest, data in content.blobs.items()}
    return sum(map(len, blobs.values()))


async def test_a_listing_with_all_details(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    app = image(repository, layers=2, created="2026-02-03T04:05:06Z")
    multi = multi_platform(repository)
    sbom = artifact("application/vnd.example.sbom", {"sbom": b"{}"})
    await images.push(repository, "app", content=app)
    await images.push(repository, "multi", content=multi)
    await images.push(repository, "sbom", content=sbom)
    for _ in range(2):
        (page,) = await listed(gateway, ListTagsRequest(repository=repository, view=ListTagsRequest.FULL))
        assert list(page.tags) == [one.tag for one in page.details] == ["app", "multi", "sbom"]
        assert not any(one.HasField("status") for one in page.details)
        assert [one.descriptor.digest for one in page.details] == [app.digest, multi.digest, sbom.digest]
        assert [one.total_size for one in page.details] == [size(app), size(*multi.children), size(sbom)]
        dates = [one.created.ToJsonString() if one.HasField("created") else None for one in page.details]
        assert dates == ["2026-02-03T04:05:06Z", "2024-05-01T12:00:00Z", None]
        shown = [[f"{one.os}/{one.architecture}" for one in details.platforms] for details in page.details]
        assert shown == [["linux/amd64"], ["linux/amd64", "linux/arm64"], []]


async def test_the_newest_tags_come_first(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    due = ["b", "d", "a", "c"]
    for day, tag in enumerate(reversed(due), start=1):
        await images.push(repository, tag, content=image(f"{repository} {tag}", created=f"2026-01-{day:02}T00:00:00Z"))
    request = ListTagsRequest(repository=repository, view=ListTagsRequest.FULL, order_by="created desc", page_size=3)
    pages = await listed(gateway, request)
    assert tags(pages) == due
    assert len(pages) == 2


async def test_the_tags_on_a_digest(gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str) -> None:
    app = image(repository)
    await images.push(repository, "1.0", "latest", content=app)
    await images.push(repository, "2.0", content=image(f"{repository} 2"))
    for view in (ListTagsRequest.NAMES, ListTagsRequest.DESCRIPTORS, ListTagsRequest.FULL):
        request = ListTagsRequest(repository=repository, view=view, digest=app.digest)
        assert tags(await listed(gateway, request)) == ["1.0", "latest"]


async def test_the_tags_of_referrers_are_left_out(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    app = image(repository)
    name = app.digest.replace(":", "-")
    await images.push(repository, "1.0", name, f"{name}.sig", f"{name}.att", f"{name}.sbom", content=app)
    request = ListTagsRequest(repository=repository, omit_referrer_tags=True)
    assert tags(await listed(gateway, request)) == ["1.0"]
    assert len(tags(await listed(gateway, ListTagsRequest(repository=repository)))) == 5


async def test_many_references_are_resolved_in_one_call(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    content = multi_platform(repository)
    await images.push(repository, "v1", content=content)
    arm64 = Platform(os="linux", architecture="arm64")
    request = BatchResolveManifestsRequest(
        requests=[
            ResolveManifestRequest(repository=repository, tag="v1"),
            ResolveManifestRequest(repository=repository, tag="v1", platform=arm64),
            ResolveManifestRequest(repository=repository, tag="absent"),
        ]
    )
    found: dict[int, BatchResolveManifestsResult] = {}
    async for response in gateway.BatchResolveManifests(request):
        found |= {result.request_index: result for result in response.results}
    assert found[0].descriptor.digest == content.digest
    assert found[1].descriptor.digest == content.children[1].digest
    assert found[2].status.code == grpc.StatusCode.NOT_FOUND.value[0]
