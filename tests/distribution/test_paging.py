"""Listings as registries really serve them."""

import json
from bisect import bisect_right

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from portus_gateway.distribution import Cursor, DistributionClient, Page, Repository, Tag, UnusableName
from portus_gateway.distribution.errors import InvalidRequest, NotFound, RegistryFault, UntrustedAnswer
from portus_gateway.distribution.paging import valid_cursor, walk
from tests.distribution.clients import client
from tests.distribution.upstream import Scripted, Upstream, answer, refusal

APP = Repository("team/app")


def names(*listed: str, link: str | None = None, field: str = "repositories") -> web.Response:
    fields = {"Link": f'<{link}>; rel="next"'} if link else {}
    return answer(200, json.dumps({field: list(listed)}), **fields)


def paged(every: list[str], field: str, *, link: bool = True, most: int | None = None) -> Scripted:
    """A registry that lists `every` in pages, with `Link` or without."""

    async def handle(request: web.Request) -> web.StreamResponse:
        query = URL(request.raw_path, encoded=True).query
        size = int(query["n"])
        if most is not None and size > most:
            return refusal(400, "PAGINATION_NUMBER_INVALID")
        start = bisect_right(every, query.get("last", ""))
        page = every[start : start + size]
        more = link and start + size < len(every)
        return names(*page, field=field, link=f"{request.path}?last={page[-1]}&n={size}" if more else None)

    return handle


async def all_repositories(registry: DistributionClient, size: int) -> list[str]:
    pages = walk(lambda cursor: registry.list_repositories(size, cursor))
    return [str(repository) async for page in pages for repository in page.items]


async def all_tags(registry: DistributionClient, size: int) -> list[str]:
    pages = walk(lambda cursor: registry.list_tags(APP, size, cursor))
    return [str(tag) async for page in pages for tag in page.items]


EVERY = [f"team/app{number:03}" for number in range(25)]


@pytest.mark.parametrize("size", [1, 5, 24, 25, 26, 1000])
@pytest.mark.parametrize("link", [True, False])
async def test_all_pages_are_followed_with_links_and_without(upstream: Upstream, size: int, link: bool) -> None:
    upstream.script(paged(EVERY, "repositories", link=link))
    async with client(upstream.url) as registry:
        assert await all_repositories(registry, size) == EVERY


@pytest.mark.parametrize("limit", [1, 7, 100, 999])
async def test_a_page_size_that_is_refused_is_made_smaller_once(upstream: Upstream, limit: int) -> None:
    upstream.script(paged(EVERY, "repositories", most=limit))
    async with client(upstream.url) as registry:
        assert await all_repositories(registry, 1000) == EVERY
        first_walk = len(upstream.requests)
        assert await all_repositories(registry, 1000) == EVERY
    pages_needed = first_walk - sum(1 for request in upstream.requests[:first_walk] if _size(request.query) > limit)
    assert len(upstream.requests) - first_walk == pages_needed


def _size(query: str) -> int:
    return int(URL(f"/?{query}", encoded=True).query["n"])


async def test_a_registry_that_refuses_every_size_is_an_error(upstream: Upstream) -> None:
    upstream.script(refusal(400, "PAGINATION_NUMBER_INVALID"))
    async with client(upstream.url) as registry:
        with pytest.raises(InvalidRequest) as caught:
            await registry.list_repositories(1000)
    assert caught.value.reason == "PAGINATION_NUMBER_INVALID"
    assert [_size(request.query) for request in upstream.requests] == [1000, 500, 250, 125, 62, 31, 15, 7, 3, 1]


@pytest.mark.parametrize(
    "link",
    [
        "/v2/_catalog?last=a%2Fb&n=2",
        "?last=a%2Fb&n=2",
        "{origin}/v2/_catalog?n=2&last=a%2Fb",
        "/v2/_catalog?opaque=x%2By&last=a%2Fb",
    ],
)
async def test_a_link_is_followed_to_the_byte(upstream: Upstream, link: str) -> None:
    link = link.replace("{origin}", upstream.url)
    upstream.script(names("a/a", "a/b", link=link), names("c"))
    async with client(upstream.url) as registry:
        assert await all_repositories(registry, 2) == ["a/a", "a/b", "c"]
    followed = upstream.requests[1]
    assert followed.path == "/v2/_catalog"
    assert "last=a%2Fb" in followed.query.split("&")
    assert "n=2" in followed.query.split("&")


async def test_the_page_size_can_change_between_pages(upstream: Upstream) -> None:
    upstream.script(paged(EVERY, "repositories"))
    async with client(upstream.url) as registry:
        first = await registry.list_repositories(10)
        second = await registry.list_repositories(3, first.next)
    assert [str(repository) for repository in second.items] == EVERY[10:13]


@pytest.mark.parametrize(
    "link",
    [
        "http://127.0.0.1:1/v2/_catalog?last=b",
        "https://127.0.0.1/v2/_catalog?last=b",
        "//evil.example/v2/_catalog?last=b",
        "/v2/other/tags/list?last=b",
        "/v2/_catalog/../other?last=b",
        "/v2/_catalog",
        "http://[?last=b",
        "javascript:x",
    ],
)
async def test_a_link_that_leads_elsewhere_is_not_followed(upstream: Upstream, link: str) -> None:
    upstream.script(names("a", link=link))
    async with client(upstream.url) as registry:
        with pytest.raises(RegistryFault, match="the registry's Link"):
            await registry.list_repositories(10)


async def test_a_link_that_repeats_is_an_error(upstream: Upstream) -> None:
    upstream.script(names("a", link="/v2/_catalog?last=a&n=1"))
    async with client(upstream.url) as registry:
        with pytest.raises(RegistryFault, match="back to the same page"):
            await all_repositories(registry, 1)
    assert len(upstream.requests) == 2


async def test_links_in_a_circle_are_an_error(upstream: Upstream) -> None:
    one, two = names("a", link="/v2/_catalog?last=a"), names("b", link="/v2/_catalog?last=b")
    upstream.script(one, two, one)
    async with client(upstream.url) as registry:
        with pytest.raises(RegistryFault, match="round in circles"):
            await all_repositories(registry, 1)


async def test_a_short_page_and_an_empty_one_can_have_a_next_one(upstream: Upstream) -> None:
    upstream.script(names("a", link="?last=a"), names(link="?last=b"), names("c"))
    async with client(upstream.url) as registry:
        assert await all_repositories(registry, 10) == ["a", "c"]


async def test_a_name_that_is_none_is_shown_and_ends_nothing(upstream: Upstream) -> None:
    upstream.script(names("a", "Bad Name", "c"))
    async with client(upstream.url) as registry:
        page = await registry.list_repositories(10)
    first, bad, last = page.items
    assert (first, last) == (Repository("a"), Repository("c"))
    assert isinstance(bad, UnusableName)
    assert bad.text == "Bad Name"


@pytest.mark.parametrize(
    "body", ["", "[]", "{}", '{"repositories": {}}', '{"repositories": ["a", 1]}', "{", "[" * 100_000, '{"tags": []}']
)
async def test_a_200_that_is_no_listing_is_an_error_and_not_empty(upstream: Upstream, body: str) -> None:
    upstream.script(answer(200, body))
    async with client(upstream.url) as registry:
        with pytest.raises(UntrustedAnswer, match="catalog"):
            await registry.list_repositories(10)


@pytest.mark.parametrize("body", ['{"name": "team/app", "tags": null}', '{"name": "team/app", "tags": []}'])
async def test_no_tags(upstream: Upstream, body: str) -> None:
    upstream.script(answer(200, body))
    async with client(upstream.url) as registry:
        assert await registry.list_tags(APP, 10) == Page((), None)


async def test_an_unknown_repository_is_not_an_empty_one(upstream: Upstream) -> None:
    upstream.script(refusal(404, "NAME_UNKNOWN"))
    async with client(upstream.url) as registry:
        with pytest.raises(NotFound) as caught:
            await registry.list_tags(APP, 10)
    assert caught.value.reason == "NAME_UNKNOWN"


@pytest.mark.parametrize("size", [1, 3, 4, 5, 1000])
async def test_tags_of_a_registry_that_ignores_the_page_size_and_the_order(upstream: Upstream, size: int) -> None:
    upstream.script(names("v3", "v1", "latest", "v2", field="tags"))
    async with client(upstream.url) as registry:
        assert await all_tags(registry, size) == ["latest", "v1", "v2", "v3"]


async def test_a_tag_that_went_between_two_pages_does_not_disturb(upstream: Upstream) -> None:
    upstream.script(names("a", "b", "c", "d", field="tags"), names("a", "c", "d", field="tags"))
    async with client(upstream.url) as registry:
        first = await registry.list_tags(APP, 2)
        second = await registry.list_tags(APP, 2, first.next)
    assert first.items == (Tag("a"), Tag("b"))
    assert second == Page((Tag("c"), Tag("d")), None)


async def test_a_tag_that_is_none_is_an_error_of_the_registry(upstream: Upstream) -> None:
    upstream.script(names("v1", "not a tag", field="tags"))
    async with client(upstream.url) as registry:
        with pytest.raises(UntrustedAnswer, match="not a tag"):
            await registry.list_tags(APP, 10)


@given(st.sets(st.from_regex(r"[a-z]{1,3}", fullmatch=True), max_size=12), st.integers(1, 14), st.booleans())
@settings(max_examples=30, deadline=None)
async def test_every_tag_is_listed_once_whatever_the_registry_does(tags: set[str], size: int, link: bool) -> None:
    async with Upstream() as upstream:
        upstream.script(paged(sorted(tags), "tags", link=link))
        async with client(upstream.url) as registry:
            assert await all_tags(registry, size) == sorted(tags)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("linked:last=a&n=1", True),
        ("behind:team/app", True),
        ("sliced:v1", True),
        ("linked:", False),
        ("", False),
        ("other:x", False),
        ("linked:last=a b", False),
        ("linked:last=a#b", False),
        ("linked:last=a\r\nHost: x", False),
        ("behind:" + "a" * 5000, False),
    ],
)
def test_a_cursor_from_outside_is_checked(text: str, valid: bool) -> None:
    assert valid_cursor(Cursor(text)) is valid


@pytest.mark.parametrize("size", [30, 50, 99, 100, 101])
async def test_a_registry_with_a_page_size_of_its_own_loses_no_name(upstream: Upstream, size: int) -> None:
    every = [f"r{number:03}" for number in range(250)]

    async def by_the_hundred(request: web.Request) -> web.StreamResponse:
        last = URL(request.path_qs).query.get("last", "")
        page = [name for name in every if name > last][:100]
        link = f"/v2/_catalog?last={page[-1]}&n=100" if page and page[-1] != every[-1] else None
        return names(*page, link=link)

    upstream.script(by_the_hundred)
    async with client(upstream.url) as registry:
        assert await all_repositories(registry, size) == every
        assert len((await registry.list_repositories(size)).items) <= size


async def test_a_larger_page_that_goes_on_in_words_of_its_own_is_passed_on_whole(upstream: Upstream) -> None:
    upstream.script(names("a", "b", "c", link="/v2/_catalog?token=x1"), names("d"))
    async with client(upstream.url) as registry:
        assert await all_repositories(registry, 2) == ["a", "b", "c", "d"]


async def test_a_registry_that_refused_every_size_once_is_asked_for_large_pages_again(upstream: Upstream) -> None:
    upstream.script(*[refusal(400, "PAGINATION_NUMBER_INVALID")] * 10, names("a"))
    async with client(upstream.url) as registry:
        with pytest.raises(InvalidRequest):
            await registry.list_repositories(1000)
        await registry.list_repositories(1000)
    assert _size(upstream.requests[-1].query) == 1000
