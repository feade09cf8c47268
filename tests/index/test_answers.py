"""Answers of a gateway with an index: when they come from it, how old they are, and who sees what."""

import time
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from portus.registry.v1.registry_service_pb2 import (
    CatalogRequest,
    CatalogResponse,
    DeleteManifestRequest,
    GetRegistryInfoRequest,
    ListTagsRequest,
    StreamCatalogRequest,
)
from portus_gateway.devregistry import DevRegistry, Fault
from portus_gateway.operations import index_answers
from tests.index.gateways import IndexedGateway, caller, indexed_gateway

HOUR = Duration(seconds=3600)


@pytest.fixture
async def registry() -> AsyncGenerator[DevRegistry, None]:
    async with DevRegistry(auth="anonymous") as running:
        running.push("other/app", "v1")
        running.push("team/app", "v1", "v2")
        running.push("team/untagged")
        yield running


@pytest.fixture
async def gateway(registry: DevRegistry, tmp_path: Path) -> AsyncGenerator[IndexedGateway, None]:
    async with indexed_gateway(registry, tmp_path) as running:
        await running.ready()
        yield running


def named(page: CatalogResponse) -> list[tuple[str, list[str]]]:
    return [(repository.name, list(repository.tags)) for repository in page.repositories]


async def test_a_catalog_from_the_index_is_that_of_the_registry(registry: DevRegistry, gateway: IndexedGateway) -> None:
    live = await gateway.stub.Catalog(CatalogRequest(include_tags=True))
    with registry.inject(Fault.parse("catalog:status=503")), registry.inject(Fault.parse("tags:status=503")):
        indexed = await gateway.stub.Catalog(CatalogRequest(include_tags=True, max_staleness=HOUR))
    assert named(indexed) == named(live)
    assert named(indexed) == [("other/app", ["v1"]), ("team/app", ["v1", "v2"]), ("team/untagged", [])]


async def test_the_answer_says_how_old_it_is_and_where_a_watch_continues(gateway: IndexedGateway) -> None:
    before = time.time()
    live = await gateway.stub.Catalog(CatalogRequest())
    indexed = await gateway.stub.Catalog(CatalogRequest(max_staleness=HOUR))
    assert live.as_of.ToMicroseconds() / 1e6 >= before - 0.001
    assert before - 60 < indexed.as_of.ToMicroseconds() / 1e6 < before
    assert live.cursor != ""
    assert indexed.cursor != ""


async def test_without_max_staleness_the_registry_is_asked(registry: DevRegistry, gateway: IndexedGateway) -> None:
    registry.push("new/app", "v1")
    assert "new/app" in {each.name for each in (await gateway.stub.Catalog(CatalogRequest())).repositories}
    stale = await gateway.stub.Catalog(CatalogRequest(max_staleness=HOUR))
    assert "new/app" not in {each.name for each in stale.repositories}


async def test_an_index_that_is_too_old_is_not_asked(registry: DevRegistry, gateway: IndexedGateway) -> None:
    # A page that is remembered grows old, too.
    await gateway.stub.Catalog(CatalogRequest(include_tags=True, max_staleness=HOUR))
    registry.push("new/app", "v1")
    young = Duration()
    young.FromTimedelta(timedelta(milliseconds=1))
    page = await gateway.stub.Catalog(CatalogRequest(max_staleness=young, include_tags=True))
    assert ("new/app", ["v1"]) in named(page)
    registry.push("team/app", "v3")
    tags = await gateway.stub.ListTags(ListTagsRequest(repository="team/app", max_staleness=young))
    assert list(tags.tags) == ["v1", "v2", "v3"]


async def test_pages_of_the_index(gateway: IndexedGateway) -> None:
    first = await gateway.stub.Catalog(CatalogRequest(page_size=2, max_staleness=HOUR))
    assert [each.name for each in first.repositories] == ["other/app", "team/app"]
    last = await gateway.stub.Catalog(CatalogRequest(page_size=2, page_token=first.next_page_token, max_staleness=HOUR))
    assert [each.name for each in last.repositories] == ["team/untagged"]
    assert last.next_page_token == ""
    prefixed = await gateway.stub.Catalog(CatalogRequest(prefix="team/", max_staleness=HOUR))
    assert [each.name for each in prefixed.repositories] == ["team/app", "team/untagged"]


async def test_a_page_of_the_index_cannot_be_continued_without_it(gateway: IndexedGateway) -> None:
    first = await gateway.stub.Catalog(CatalogRequest(page_size=2, max_staleness=HOUR))
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await gateway.stub.Catalog(CatalogRequest(page_size=2, page_token=first.next_page_token))
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "start again with the first page" in str(failed.value.details())


async def test_a_stream_from_the_index(
    registry: DevRegistry, gateway: IndexedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_answers, "_STREAM_PAGE", 1)
    requests = registry.requests.total
    request = StreamCatalogRequest(include_tags=True, max_staleness=HOUR)
    messages = [message async for message in gateway.stub.StreamCatalog(request)]
    assert [each.name for message in messages for each in message.repositories] == [
        "other/app",
        "team/app",
        "team/untagged",
    ]
    assert len(messages) == 3
    assert {message.cursor for message in messages} == {messages[0].cursor}
    assert registry.requests.total == requests


async def test_tags_from_the_index(registry: DevRegistry, gateway: IndexedGateway) -> None:
    with registry.inject(Fault.parse("tags:status=503")):
        request = ListTagsRequest(repository="team/app", page_size=1, max_staleness=HOUR)
        first = await gateway.stub.ListTags(request)
        assert list(first.tags) == ["v1"]
        request.page_token = first.next_page_token
        last = await gateway.stub.ListTags(request)
        assert (list(last.tags), last.next_page_token) == (["v2"], "")
        assert last.cursor != ""


async def test_a_repository_that_the_index_does_not_know_is_asked_of_the_registry(
    registry: DevRegistry, gateway: IndexedGateway
) -> None:
    registry.push("new/app", "v1")
    tags = await gateway.stub.ListTags(ListTagsRequest(repository="new/app", max_staleness=HOUR))
    assert list(tags.tags) == ["v1"]
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await gateway.stub.ListTags(ListTagsRequest(repository="no/app", max_staleness=HOUR))
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_delete_is_in_the_index_before_its_answer(registry: DevRegistry, gateway: IndexedGateway) -> None:
    digest = registry.tags("team/app")["v1"]
    with registry.inject(Fault.parse("tags:delay=0.3,times=100")):
        request = DeleteManifestRequest(repository="team/app", digest=digest, force=True)
        await gateway.stub.DeleteManifest(request)
    tags = await gateway.stub.ListTags(ListTagsRequest(repository="team/app", max_staleness=HOUR))
    assert list(tags.tags) == []


async def test_callers_see_of_the_index_what_they_may_see_of_the_registry(
    registry: DevRegistry, tmp_path: Path
) -> None:
    async with indexed_gateway(registry, tmp_path, access=True) as gateway:
        team, reader = caller("team"), caller("reader")

        await gateway.ready("admin")
        for max_staleness in (Duration(), HOUR):
            catalog = CatalogRequest(include_tags=True, max_staleness=max_staleness)
            # What one caller was shown before is not shown to another.
            assert len((await gateway.stub.Catalog(catalog, metadata=caller("admin"))).repositories) == 3
            page = await gateway.stub.Catalog(catalog, metadata=team)
            assert named(page) == [("team/app", ["v1", "v2"]), ("team/untagged", [])]
            stream = StreamCatalogRequest(max_staleness=max_staleness)
            streamed = [message async for message in gateway.stub.StreamCatalog(stream, metadata=team)]
            assert [each.name for message in streamed for each in message.repositories] == ["team/app", "team/untagged"]
            hidden, refused = [
                await _failure(gateway, ListTagsRequest(repository=name, max_staleness=max_staleness), metadata)
                for name, metadata in (("other/app", team), ("team/app", reader))
            ]
            assert hidden == (
                grpc.StatusCode.NOT_FOUND,
                "other/app does not exist, or token:team may not see it",
            )
            assert refused[0] is grpc.StatusCode.PERMISSION_DENIED


async def test_tags_that_a_caller_may_not_list_are_not_shown_in_a_catalog_either(
    registry: DevRegistry, tmp_path: Path
) -> None:
    async with indexed_gateway(registry, tmp_path, access=True) as gateway:
        await gateway.ready("admin")
        for max_staleness in (Duration(), HOUR):
            request = CatalogRequest(include_tags=True, max_staleness=max_staleness)
            assert ("team/app", ["v1", "v2"]) in named(await gateway.stub.Catalog(request, metadata=caller("admin")))
            page = await gateway.stub.Catalog(request, metadata=caller("names"))
            assert named(page) == [("other/app", []), ("team/app", []), ("team/untagged", [])]
            assert {each.tags_status.message for each in page.repositories} == {
                f"token:names may not call ListTags on {name}" for name in ("other/app", "team/app", "team/untagged")
            }


async def test_the_state_of_the_index(registry: DevRegistry, tmp_path: Path) -> None:
    async with indexed_gateway(registry, tmp_path, with_index=False) as gateway:
        assert not (await gateway.stub.GetRegistryInfo(GetRegistryInfoRequest())).HasField("index")
        page = await gateway.stub.Catalog(CatalogRequest(max_staleness=HOUR))
        assert (len(page.repositories), page.cursor) == (3, "")
    async with indexed_gateway(registry, tmp_path, index=f"sqlite://{tmp_path}/none/index.db") as gateway:
        info = await gateway.stub.GetRegistryInfo(GetRegistryInfoRequest())
        assert info.index.state == info.index.UNAVAILABLE
        page = await gateway.stub.Catalog(CatalogRequest(max_staleness=HOUR))
        assert (len(page.repositories), page.cursor) == (3, "")


async def _failure(
    gateway: IndexedGateway, request: ListTagsRequest, metadata: tuple[tuple[str, str], ...]
) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await gateway.stub.ListTags(request, metadata=metadata)
    return failed.value.code(), str(failed.value.details())
