"""ListTags from the index in every view: what it says, how many requests it costs, and who may see it."""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from portus.registry.v1.registry_service_pb2 import ListTagsRequest, ListTagsResponse
from portus.registry.v1.watch_pb2 import WatchEventsRequest
from portus_gateway.devregistry import DevRegistry, image
from portus_gateway.devregistry.images import multi_platform
from tests.index.gateways import IndexedGateway, caller, indexed_gateway
from tests.index.test_watch import announced

APP = "team/app"
HOUR = Duration(seconds=3600)
SIGNATURE = f"sha256-{0:064}.sig"
NAMES, DESCRIPTORS, FULL = ListTagsRequest.NAMES, ListTagsRequest.DESCRIPTORS, ListTagsRequest.FULL
RIGHTS = ("ListTags", "ResolveManifest", "GetManifest", "GetImageConfig")
# Callers that have all these rights but one.
MISSING = {f"without-{right}": tuple(each for each in RIGHTS if each != right) for right in RIGHTS}


@pytest.fixture
async def registry() -> AsyncGenerator[DevRegistry, None]:
    async with DevRegistry(auth="anonymous") as running:
        running.push(APP, "v1", content=image("one"))
        running.push(APP, "v2", "v2.0", "latest", content=image("two"))
        running.push(APP, "multi", content=multi_platform("three"))
        running.push(APP, SIGNATURE, content=image("signature"))
        yield running


@pytest.fixture
async def gateway(registry: DevRegistry, tmp_path: Path) -> AsyncGenerator[IndexedGateway, None]:
    async with indexed_gateway(registry, tmp_path) as running:
        await running.ready()
        yield running


async def listed(gateway: IndexedGateway, request: ListTagsRequest, name: str = "") -> list[ListTagsResponse]:
    """All pages."""
    pages: list[ListTagsResponse] = []
    request = ListTagsRequest.FromString(request.SerializeToString())
    while True:
        pages.append(await gateway.stub.ListTags(request, metadata=caller(name) if name else ()))
        if not pages[-1].next_page_token:
            return pages
        request.page_token = pages[-1].next_page_token


def said(pages: Sequence[ListTagsResponse]) -> list[tuple[list[str], list[bytes]]]:
    """What pages say of tags."""
    return [(list(page.tags), [one.SerializeToString(deterministic=True) for one in page.details]) for page in pages]


REQUESTS = [
    ListTagsRequest(view=NAMES),
    ListTagsRequest(view=DESCRIPTORS),
    ListTagsRequest(view=FULL),
    ListTagsRequest(omit_referrer_tags=True),
    ListTagsRequest(digest="v2"),
    ListTagsRequest(digest="v2", view=DESCRIPTORS),
    ListTagsRequest(digest="v2", view=FULL, omit_referrer_tags=True),
    ListTagsRequest(view=FULL, order_by="created desc"),
    ListTagsRequest(view=FULL, order_by="created desc", digest="v2", omit_referrer_tags=True),
]


@pytest.mark.parametrize("page_size", [0, 2])
@pytest.mark.parametrize("request_", REQUESTS, ids=str)
async def test_every_view_is_that_of_the_registry_and_costs_it_nothing_the_second_time(
    registry: DevRegistry, gateway: IndexedGateway, request_: ListTagsRequest, page_size: int
) -> None:
    request = ListTagsRequest(repository=APP, page_size=page_size)
    request.MergeFrom(request_)
    if request.digest:
        request.digest = registry.tags(APP)[request.digest]
    live = await listed(gateway, request)
    request.max_staleness.CopyFrom(HOUR)
    registry.requests.clear()
    assert said(await listed(gateway, request)) == said(live)
    # Neither the names nor what they point to is asked: only manifests and configurations by their digests.
    assert registry.requests.count(route="tags") == 0
    assert all("sha256:" in asked.target for asked in registry.requests)
    registry.requests.clear()
    pages = await listed(gateway, request)
    assert said(pages) == said(live)
    assert registry.requests.total == 0
    assert all(page.cursor for page in pages)
    assert all(live[0].as_of.seconds - 60 <= page.as_of.seconds <= live[0].as_of.seconds for page in pages)


async def test_a_watch_from_the_cursor_of_a_page_sees_what_changed_after_it(
    registry: DevRegistry, gateway: IndexedGateway
) -> None:
    page = await gateway.stub.ListTags(ListTagsRequest(repository=APP, view=FULL, max_staleness=HOUR))
    digest = registry.push(APP, "v3")
    await announced(gateway, APP, tag="v3", digest=digest)
    watch = gateway.stub.WatchEvents(WatchEventsRequest(after_cursor=page.cursor), timeout=30)
    async for message in watch:
        if message.events:
            assert [(event.tag, event.digest) for event in message.events] == [("v3", digest)]
            break
    watch.cancel()


async def test_manifests_that_nothing_has_read_yet_are_asked_for_once(
    registry: DevRegistry, gateway: IndexedGateway
) -> None:
    request = ListTagsRequest(repository=APP, view=DESCRIPTORS, max_staleness=HOUR)
    registry.requests.clear()
    await gateway.stub.ListTags(request)
    # Of six tags, three point to the same manifest.
    assert registry.requests.total == registry.requests.count(route="manifests", method="HEAD") == 4
    await gateway.stub.ListTags(request)
    assert registry.requests.total == 4


@pytest.mark.parametrize("view", [DESCRIPTORS, FULL])
async def test_a_tag_that_moved_since_is_shown_as_it_was_unless_that_is_gone(
    registry: DevRegistry, gateway: IndexedGateway, view: ListTagsRequest.View.ValueType
) -> None:
    before = registry.tags(APP)["v1"]
    after = registry.push(APP, "v1", content=image("moved"))
    request = ListTagsRequest(repository=APP, view=view, max_staleness=HOUR)

    async def digests() -> dict[str, str]:
        page = await gateway.stub.ListTags(request)
        return {one.tag: one.descriptor.digest for one in page.details}

    assert (await digests())["v1"] == before
    request.ClearField("max_staleness")
    assert (await digests())["v1"] == after


@pytest.mark.parametrize("view", [DESCRIPTORS, FULL])
async def test_a_tag_whose_manifest_is_gone_is_asked_of_the_registry(
    registry: DevRegistry, gateway: IndexedGateway, view: ListTagsRequest.View.ValueType
) -> None:
    digests = registry.tags(APP)
    moved = registry.push(APP, "v1", content=image("moved"))
    registry.delete(APP, digests["v1"])
    registry.delete(APP, digests["v2"])
    page = await gateway.stub.ListTags(ListTagsRequest(repository=APP, view=view, max_staleness=HOUR))
    details = {one.tag: one for one in page.details}
    assert details["v1"].descriptor.digest == moved
    assert details["v2"].status.code == grpc.StatusCode.NOT_FOUND.value[0]
    assert not details["multi"].HasField("status")


async def test_what_is_too_old_comes_from_the_registry(registry: DevRegistry, gateway: IndexedGateway) -> None:
    after = registry.push(APP, "v1", content=image("moved"))
    young = Duration(nanos=1_000_000)
    for request in (
        ListTagsRequest(repository=APP, view=DESCRIPTORS, max_staleness=young),
        ListTagsRequest(repository=APP, view=FULL, order_by="created desc", max_staleness=young),
        ListTagsRequest(repository=APP, view=FULL, digest=after, max_staleness=young),
    ):
        page = await gateway.stub.ListTags(request)
        assert {one.tag: one.descriptor.digest for one in page.details}["v1"] == after


async def test_a_page_that_only_the_index_can_continue(gateway: IndexedGateway) -> None:
    request = ListTagsRequest(repository=APP, view=DESCRIPTORS, page_size=1, max_staleness=HOUR)
    request.page_token = (await gateway.stub.ListTags(request)).next_page_token
    request.ClearField("max_staleness")
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await gateway.stub.ListTags(request)
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    # The order of dates is the gateway's own: any page continues from anywhere.
    request = ListTagsRequest(repository=APP, view=FULL, order_by="created desc", page_size=1, max_staleness=HOUR)
    first = await gateway.stub.ListTags(request)
    request.page_token = first.next_page_token
    request.ClearField("max_staleness")
    assert (await gateway.stub.ListTags(request)).tags != first.tags


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
async def test_the_rights_are_those_for_an_answer_from_the_registry(
    registry: DevRegistry, tmp_path: Path, request_: ListTagsRequest
) -> None:
    request = ListTagsRequest(repository=APP)
    request.MergeFrom(request_)
    if request.digest:
        request.digest = registry.tags(APP)[request.digest]
    async with indexed_gateway(registry, tmp_path, access={"all": RIGHTS, **MISSING}) as gateway:
        await gateway.ready("all")
        for name in ("all", *MISSING):
            outcomes = []
            for max_staleness in (Duration(), HOUR):
                request.max_staleness.CopyFrom(max_staleness)
                outcomes.append(await _outcome(gateway, request, name))
            assert outcomes[0] == outcomes[1], name


async def _outcome(gateway: IndexedGateway, request: ListTagsRequest, name: str) -> object:
    try:
        return said([await gateway.stub.ListTags(request, metadata=caller(name))])
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details()
