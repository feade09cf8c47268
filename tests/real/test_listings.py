"""The catalog, with and without tags, and the tags of a repository, in pages and as a stream."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from portus.registry.v1 import registry_service_pb2
from portus_gateway.devregistry import image
from tests.real.backends import GO_CONTAINERREGISTRY, Backend
from tests.real.gateways import failure_of, gateway_over
from tests.real.image_tools import ImageTools
from tests.real.library import NAMESPACE, Library

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def catalog_pages(
    gateway: "RegistryServiceAsyncStub", page_size: int, *, include_tags: bool = False, prefix: str = ""
) -> AsyncIterator[list[registry_service_pb2.Repository]]:
    token = ""
    while True:
        page = await gateway.Catalog(
            registry_service_pb2.CatalogRequest(
                page_size=page_size, page_token=token, include_tags=include_tags, prefix=prefix
            )
        )
        yield list(page.repositories)
        token = page.next_page_token
        if not token:
            return


async def test_the_catalog_has_every_repository_with_its_tags(
    gateway: "RegistryServiceAsyncStub", library: Library
) -> None:
    page = await gateway.Catalog(
        registry_service_pb2.CatalogRequest(include_tags=True, page_size=1000, prefix=f"{NAMESPACE}/")
    )
    assert not page.next_page_token
    assert [repository.name for repository in page.repositories] == list(library.tags)
    assert {repository.name: list(repository.tags) for repository in page.repositories} == library.tags
    assert not any(repository.HasField("tags_status") for repository in page.repositories)


async def test_the_catalog_comes_in_pages(gateway: "RegistryServiceAsyncStub", library: Library) -> None:
    names: list[str] = []
    async for page in catalog_pages(gateway, 7):
        assert len(page) <= 7
        names.extend(repository.name for repository in page)
    assert len(names) == len(set(names))
    assert [name for name in names if name.startswith(NAMESPACE)] == list(library.tags)


async def test_pages_of_a_part_of_the_catalog_have_their_tags(
    gateway: "RegistryServiceAsyncStub", library: Library
) -> None:
    found: dict[str, list[str]] = {}
    async for page in catalog_pages(gateway, 7, include_tags=True, prefix=f"{NAMESPACE}/book-1"):
        assert len(page) <= 7
        found.update((repository.name, list(repository.tags)) for repository in page)
    assert found == {name: tags for name, tags in library.tags.items() if "book-1" in name}


async def test_the_stream_has_every_repository_in_order(gateway: "RegistryServiceAsyncStub", library: Library) -> None:
    request = registry_service_pb2.StreamCatalogRequest(include_tags=True, prefix=f"{NAMESPACE}/")
    streamed = [one async for answer in gateway.StreamCatalog(request) for one in answer.repositories]
    assert [(repository.name, list(repository.tags)) for repository in streamed] == list(library.tags.items())
    assert not any(repository.HasField("tags_status") for repository in streamed)


async def test_tags_come_in_pages_and_in_order(gateway: "RegistryServiceAsyncStub", library: Library) -> None:
    pages: list[list[str]] = []
    token = ""
    while True:
        page = await gateway.ListTags(
            registry_service_pb2.ListTagsRequest(repository=library.with_many_tags, page_size=5, page_token=token)
        )
        pages.append(list(page.tags))
        token = page.next_page_token
        if not token:
            break
    assert [len(page) for page in pages if page] == [5, 5, 2]
    assert [tag for page in pages for tag in page] == library.tags[library.with_many_tags]
    whole = await gateway.ListTags(registry_service_pb2.ListTagsRequest(repository=library.with_many_tags))
    assert list(whole.tags) == library.tags[library.with_many_tags]


async def test_no_tag_is_overlooked_in_a_long_list(backend: Backend, repository: str) -> None:
    """The last tag is beyond what a registry sends at a time. A delete that overlooked it would take it along."""
    tags = [f"v{number:04}" for number in range(1005)]
    for tag in tags:
        backend.plant(repository, tag, image("last" if tag == tags[-1] else "others"))
    async with gateway_over(backend.configuration()) as gateway:
        for page_size in (300, 1000):
            listed: list[str] = []
            token = ""
            while not listed or token:
                page = await gateway.ListTags(
                    registry_service_pb2.ListTagsRequest(repository=repository, page_size=page_size, page_token=token)
                )
                assert len(page.tags) <= page_size
                listed.extend(page.tags)
                token = page.next_page_token
            assert listed == tags
        deletion = registry_service_pb2.DeleteManifestRequest(repository=repository, digest=image("last").digest)
        failure = await failure_of(gateway.DeleteManifest(deletion))
    assert failure.kind == (grpc.StatusCode.FAILED_PRECONDITION, "TAGGED")
    assert failure.violations == (tags[-1],)


async def test_an_unknown_repository_is_not_an_empty_one(gateway: "RegistryServiceAsyncStub") -> None:
    failure = await failure_of(gateway.ListTags(registry_service_pb2.ListTagsRequest(repository="team/nowhere")))
    assert failure.kind == (grpc.StatusCode.NOT_FOUND, "NAME_UNKNOWN")
    assert failure.resource == "repository team/nowhere"


async def test_an_emptied_repository_has_no_tags_and_says_so(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    digest = await images.push(repository, "only", content=image(repository))
    await gateway.DeleteManifest(
        registry_service_pb2.DeleteManifestRequest(repository=repository, digest=digest, force=True)
    )
    listed = await gateway.ListTags(registry_service_pb2.ListTagsRequest(repository=repository))
    assert (list(listed.tags), listed.next_page_token) == ([], "")
    page = await gateway.Catalog(registry_service_pb2.CatalogRequest(include_tags=True, prefix=repository))
    [found] = [entry for entry in page.repositories if entry.name == repository]
    assert list(found.tags) == []
    assert not found.HasField("tags_status")


@pytest.mark.not_over(GO_CONTAINERREGISTRY, reason="it has no settings")
async def test_a_registry_with_small_pages_is_listed_to_its_end(restricted: Backend, tmp_path: Path) -> None:
    names = [f"many/small-{number:02}" for number in range(15)]
    images = ImageTools.of(restricted, tmp_path)
    contents = {f"{name.removeprefix('many/')}:latest": image("many") for name in names}
    await images.push_many("many", contents)
    async with gateway_over(restricted.configuration()) as gateway:
        request = registry_service_pb2.StreamCatalogRequest(prefix="many/")
        assert [one.name async for answer in gateway.StreamCatalog(request) for one in answer.repositories] == names
        page = await gateway.Catalog(registry_service_pb2.CatalogRequest(page_size=1000))
        assert [repository.name for repository in page.repositories] == names
        assert not page.next_page_token
        first = await gateway.Catalog(registry_service_pb2.CatalogRequest(page_size=12))
        assert [repository.name for repository in first.repositories] == names[:12]
        assert first.next_page_token


async def test_the_registry_describes_itself(gateway: "RegistryServiceAsyncStub") -> None:
    info = await gateway.GetRegistryInfo(registry_service_pb2.GetRegistryInfoRequest())
    assert info.reachable
    assert info.api_version == "registry/2.0"
    assert not info.HasField("registry_status")
    assert info.deletion_enabled
