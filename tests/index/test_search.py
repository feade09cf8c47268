"""ListTagHistory and FindTags: what the index knows, in pages, for each caller what it may see."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from pathlib import Path

import grpc
import pytest

from portus.registry.v1.tag_history_pb2 import FindTagsRequest, ListTagHistoryRequest
from portus.registry.v1.watch_pb2 import Event
from portus_gateway.devregistry import DevRegistry, image
from portus_gateway.operations import index_search
from tests.index.gateways import IndexedGateway, caller, indexed_gateway
from tests.index.registries import until
from tests.index.test_watch import announced
from tests.index.turns import Turns

CONTENT = image("the image")


@pytest.fixture
async def registry() -> AsyncGenerator[DevRegistry, None]:
    async with DevRegistry(auth="anonymous") as running:
        running.push("other/app", "v1")
        running.tag("other/app", "1.0", running.push("other/app", "v1"))
        running.push("team/app", "v1", "v2", "1.0", content=CONTENT)
        yield running


@pytest.fixture
async def gateway(registry: DevRegistry, tmp_path: Path) -> AsyncGenerator[IndexedGateway, None]:
    async with indexed_gateway(registry, tmp_path) as running:
        await running.ready()
        yield running


async def found(gateway: IndexedGateway, request: FindTagsRequest, name: str = "") -> list[tuple[str, str]]:
    """All pages."""
    tags: list[tuple[str, str]] = []
    while True:
        page = await gateway.stub.FindTags(request, metadata=caller(name) if name else ())
        tags += [(tag.repository, tag.tag) for tag in page.tags]
        assert page.as_of.seconds > 0
        if not page.next_page_token:
            return tags
        request.page_token = page.next_page_token


async def failure(call: Awaitable[object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return failed.value.code(), str(failed.value.details())


async def test_tags_on_a_digest(registry: DevRegistry, gateway: IndexedGateway) -> None:
    digest = registry.tags("team/app")["v1"]
    assert await found(gateway, FindTagsRequest(digest=digest)) == [
        ("team/app", "1.0"),
        ("team/app", "v1"),
        ("team/app", "v2"),
    ]
    assert await found(gateway, FindTagsRequest(digest=digest, page_size=1)) == [
        ("team/app", "1.0"),
        ("team/app", "v1"),
        ("team/app", "v2"),
    ]
    assert await found(gateway, FindTagsRequest(digest=digest, prefix="other/")) == []


async def test_tags_by_a_part_of_their_names(gateway: IndexedGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [("other/app", "1.0"), ("team/app", "1.0")]
    assert await found(gateway, FindTagsRequest(name_contains=".0")) == expected
    # A call looks at a bounded number of tags; the next page goes on behind them.
    monkeypatch.setattr(index_search, "_LOOKED_AT", 1)
    monkeypatch.setattr(index_search, "_MOST_LOOKS", 1)
    assert await found(gateway, FindTagsRequest(name_contains=".0")) == expected


async def test_the_history_of_a_tag(registry: DevRegistry, gateway: IndexedGateway) -> None:
    first = registry.tags("team/app")["v1"]
    second = registry.push("team/app", "v9")
    registry.tag("team/app", "v1", second)
    await announced(gateway, "team/app", tag="v1", digest=second)
    request = ListTagHistoryRequest(repository="team/app", tag="v1", page_size=1)

    async def moved() -> bool:
        page = await gateway.stub.ListTagHistory(request)
        return page.events[0].type == Event.TAG_MOVED

    await until(moved)
    page = await gateway.stub.ListTagHistory(request)
    (event,) = page.events
    assert (event.digest, event.previous_digest) == (second, first)
    request.page_token = page.next_page_token
    last = await gateway.stub.ListTagHistory(request)
    assert [each.type for each in last.events] == [Event.TAG_CREATED]
    assert last.next_page_token == ""
    nothing = await gateway.stub.ListTagHistory(ListTagHistoryRequest(repository="team/app", tag="never"))
    assert list(nothing.events) == []


async def test_callers_find_what_they_may_list(registry: DevRegistry, tmp_path: Path) -> None:
    async with indexed_gateway(registry, tmp_path, access=True) as gateway:
        await gateway.ready("admin")
        assert await found(gateway, FindTagsRequest(name_contains="1"), "team") == [
            ("team/app", "1.0"),
            ("team/app", "v1"),
        ]
        hidden = ListTagHistoryRequest(repository="other/app", tag="v1")
        assert await failure(gateway.stub.ListTagHistory(hidden, metadata=caller("team"))) == (
            grpc.StatusCode.NOT_FOUND,
            "other/app does not exist, or token:team may not see it",
        )
        code, _ = await failure(gateway.stub.FindTags(FindTagsRequest(name_contains="1"), metadata=caller("reader")))
        assert code is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("by_digest", [False, True])
async def test_hidden_tags_change_neither_the_pages_nor_their_tokens(
    registry: DevRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_digest: bool
) -> None:
    monkeypatch.setattr(index_search, "_LOOKED_AT", 4)
    monkeypatch.setattr(index_search, "_MOST_LOOKS", 1)
    monkeypatch.setattr(index_search, "_AT_ONCE", 3)
    pages: list[list[tuple[list[str], str]]] = []
    for hidden in (False, True):
        if hidden:
            # Before, between and after what the caller may see.
            for name in ("a/app", "other/app", "team.hidden/app", "zoo/app"):
                registry.push(name, *(f"v{number}" for number in range(9)))
                for tag in ("v1.0", "v2.0", "v3.0"):
                    registry.tag(name, tag, registry.push(name, "copy", content=CONTENT))
        folder = tmp_path / str(hidden)
        folder.mkdir()
        keys = folder.parent / "keys"
        keys.write_text("11" * 32 + "\n")
        keys.chmod(0o600)
        async with indexed_gateway(registry, folder, access=True, page_token_key_file=str(keys)) as gateway:
            await gateway.ready("admin")
            request = FindTagsRequest(page_size=2)
            if by_digest:
                request.digest = registry.tags("team/app")["v1"]
            else:
                request.name_contains = "v"
            seen = []
            while True:
                page = await gateway.stub.FindTags(request, metadata=caller("team"))
                seen.append(([tag.tag for tag in page.tags], page.next_page_token))
                request.page_token = page.next_page_token
                if not page.next_page_token:
                    break
            pages.append(seen)
    assert pages[0] == pages[1]


async def test_searches_of_one_caller_delay_those_of_another_by_one_look_at_most(
    registry: DevRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = Turns()
    turns.hold(monkeypatch, index_search, "tags_containing")
    async with indexed_gateway(registry, tmp_path, access=True) as gateway:
        await gateway.ready("admin")
        request = FindTagsRequest(name_contains="v")
        many = [asyncio.ensure_future(gateway.stub.FindTags(request, metadata=caller("team"))) for _ in range(9)]
        await turns.all_asked(9)
        one = asyncio.ensure_future(gateway.stub.FindTags(request, metadata=caller("admin")))
        await turns.all_asked(10)
        for _ in range(10):
            turns.go_on.release()
        await asyncio.gather(one, *many)
    assert turns.most == 2
    assert "token:admin" in turns.looks[2:4]


@pytest.mark.parametrize(
    "request_",
    [
        FindTagsRequest(),
        FindTagsRequest(digest="sha256:short"),
        FindTagsRequest(name_contains=""),
        FindTagsRequest(name_contains="x" * 129),
        FindTagsRequest(name_contains="a", prefix="x" * 256),
        FindTagsRequest(name_contains="a", page_size=-1),
        FindTagsRequest(name_contains="a", page_token="x"),
    ],
)
async def test_what_is_wrong_with_a_search(gateway: IndexedGateway, request_: FindTagsRequest) -> None:
    assert (await failure(gateway.stub.FindTags(request_)))[0] is grpc.StatusCode.INVALID_ARGUMENT


async def test_what_is_wrong_with_a_question_for_history(gateway: IndexedGateway) -> None:
    for request in (
        ListTagHistoryRequest(repository="A", tag="v1"),
        ListTagHistoryRequest(repository="a", tag="-"),
        ListTagHistoryRequest(repository="a", tag="v1", page_token="x"),
    ):
        assert (await failure(gateway.stub.ListTagHistory(request)))[0] is grpc.StatusCode.INVALID_ARGUMENT


async def test_without_an_index(registry: DevRegistry, tmp_path: Path) -> None:
    async with indexed_gateway(registry, tmp_path, with_index=False) as gateway:
        for call in (
            gateway.stub.FindTags(FindTagsRequest(name_contains="1")),
            gateway.stub.ListTagHistory(ListTagHistoryRequest(repository="team/app", tag="v1")),
        ):
            assert (await failure(call))[0] is grpc.StatusCode.FAILED_PRECONDITION
