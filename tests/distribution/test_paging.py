"""Listings over HTTP. `test_paging_matrix` has the ways in which registries list."""

import asyncio
import json
from bisect import bisect_right

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from portus_gateway.distribution import Cursor, DistributionClient, Repository, Tag, UnusableName, listed_names, paging
from portus_gateway.distribution.errors import (
    AnswerTooLarge,
    InvalidRequest,
    NotFound,
    RegistryFault,
    Unavailable,
    Unsupported,
    UntrustedAnswer,
)
from portus_gateway.distribution.paging import walk
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
    assert not [request for request in upstream.requests[first_walk:] if _size(request.query) > limit]


def _size(query: str) -> int:
    return int(URL(f"/?{query}", encoded=True).query.get("n", "0"))


async def test_a_registry_that_refuses_every_size_is_an_error(upstream: Upstream) -> None:
    upstream.script(refusal(400, "PAGINATION_NUMBER_INVALID"))
    async with client(upstream.url) as registry:
        with pytest.raises(InvalidRequest) as caught:
            await registry.list_repositories(1000)
    assert caught.value.reason == "PAGINATION_NUMBER_INVALID"
    assert [_size(request.query) for request in upstream.requests] == [1000, 500, 200, 100, 50, 20, 10, 5, 2, 1, 0]


@pytest.mark.parametrize("status", [400, 405, 413, 414, 422])
async def test_a_refusal_that_is_not_about_the_page_size_is_passed_on_unchanged(
    upstream: Upstream, status: int
) -> None:
    upstream.script(refusal(status, "NAME_INVALID"))
    async with client(upstream.url) as registry:
        with pytest.raises((InvalidRequest, Unsupported), match=f"answered {status} NAME_INVALID"):
            await registry.list_repositories(1000)
    assert [request.query for request in upstream.requests] == ["n=1000", ""]


async def test_a_catalog_that_is_not_there_is_unsupported(upstream: Upstream) -> None:
    upstream.script(answer(404, "404 page not found"))
    async with client(upstream.url) as registry:
        with pytest.raises(Unsupported, match="as registries without a catalog do"):
            await registry.list_repositories(1000)


@pytest.mark.parametrize(
    "link",
    [
        "/v2/_catalog?opaque=x%2By&last=a%2Fb",
        "?page=2",
        "{origin}/v2/_catalog?next_page=gAAAA%3D%3D&n=1000",
        "http://internal:5000/v2/_catalog?page=a%2Fb",
        "https://elsewhere.example/prefix/v2/_catalog?page=2",
        "//elsewhere.example/v2/%5Fcatalog?page=2",
    ],
)
async def test_a_links_query_is_followed_to_the_byte_and_nothing_else_of_it(upstream: Upstream, link: str) -> None:
    link = link.replace("{origin}", upstream.url)
    upstream.script(names("a/a", "a/b", link=link), names("c"))
    async with client(upstream.url) as registry:
        assert await all_repositories(registry, 2) == ["a/a", "a/b", "c"]
    assert upstream.requests[1].target == f"/v2/_catalog?{link.partition('?')[2]}"


@pytest.mark.parametrize(
    "link", ["/v2/_catalog?last=a%2Fb&n=2", "?n=2&last=a%2Fb", "http://internal/v2/_catalog?last=a/b"]
)
async def test_a_link_that_continues_after_the_last_name_is_followed_by_name(upstream: Upstream, link: str) -> None:
    upstream.script(names("a/a", "a/b", link=link), names("c"))
    async with client(upstream.url) as registry:
        first = await registry.list_repositories(2)
        assert first.next == Cursor("after", "a/b")
        await registry.list_repositories(2, first.next)
    assert upstream.requests[1].target == "/v2/_catalog?last=a%2Fb&n=1000"


async def test_the_page_size_can_change_between_pages(upstream: Upstream) -> None:
    upstream.script(paged(EVERY, "repositories"))
    async with client(upstream.url) as registry:
        first = await registry.list_repositories(10)
        second = await registry.list_repositories(3, first.next)
    assert [str(repository) for repository in second.items] == EVERY[10:13]


@pytest.mark.parametrize(
    "link",
    [
        "/v2/other/tags/list?last=b",
        "/v2/_catalog/../other?last=b",
        "/v2/_catalog",
        "/v2/_catalog?",
        "/v2/_catalog?last=a b",
        f"/v2/_catalog?last={'b' * 4096}",
        "http://[?last=b",
        "javascript:x",
    ],
)
async def test_a_link_that_leads_elsewhere_is_not_followed(upstream: Upstream, link: str) -> None:
    upstream.script(names("a", link=link))
    async with client(upstream.url) as registry:
        with pytest.raises(RegistryFault, match="the registry's Link"):
            await registry.list_repositories(10)


async def test_a_link_to_the_same_page_is_an_error(upstream: Upstream) -> None:
    upstream.script(names("a", link="/v2/_catalog?page=1"))
    async with client(upstream.url) as registry:
        with pytest.raises(RegistryFault, match="back to the same page"):
            await all_repositories(registry, 1)
    assert len(upstream.requests) == 2


async def test_a_link_after_a_name_that_repeats_the_page_is_an_error(upstream: Upstream) -> None:
    upstream.script(names("a", link="/v2/_catalog?last=a"))
    async with client(upstream.url) as registry:
        with pytest.raises(Unavailable, match="start again"):
            await all_repositories(registry, 1)


async def test_links_in_a_circle_are_an_error(upstream: Upstream) -> None:
    one, two = names("a", link="/v2/_catalog?page=2"), names("b", link="/v2/_catalog?page=3")
    upstream.script(one, two, one)
    async with client(upstream.url) as registry:
        with pytest.raises(RegistryFault, match="pages repeat"):
            await all_repositories(registry, 1)


def endless(*listed: str) -> Scripted:
    """A registry whose pages never repeat and never end. Each has other names, or none."""
    pages = 0

    async def handle(_: web.Request) -> web.StreamResponse:
        nonlocal pages
        pages += 1
        every = (f"{name}{pages}" for name in listed)
        return names(*every, field="tags", link=f"?page={pages}")

    return handle


@pytest.mark.parametrize(
    ("listed", "problem"),
    [
        ((), "no end: it has more than 50 pages"),
        (("a", "b", "c", "d"), "no end: it has more than 100 names"),
        (("-", "b"), "lists more than 10 names that are not valid"),
    ],
)
async def test_a_listing_without_an_end_is_an_error(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch, listed: tuple[str, ...], problem: str
) -> None:
    monkeypatch.setattr(paging, "MOST_PAGES", 50)
    monkeypatch.setattr(paging, "MOST_NAMES", 100)
    monkeypatch.setattr(paging, "MOST_UNUSABLE", 10)
    monkeypatch.setattr(listed_names, "MOST_UNUSABLE", 10)
    upstream.script(endless(*listed))
    async with client(upstream.url) as registry:
        async with asyncio.timeout(10):
            with pytest.raises(AnswerTooLarge, match=problem):
                await all_tags(registry, 10)


@pytest.mark.parametrize("field", ["tags", "repositories"])
async def test_a_page_of_very_many_names_that_are_not_valid_is_an_error(upstream: Upstream, field: str) -> None:
    upstream.script(names(*(f"-{number}" for number in range(10_001)), field=field))
    async with client(upstream.url) as registry:
        with pytest.raises(AnswerTooLarge, match="more than 10000 names that are not valid"):
            await (registry.list_tags(APP, None) if field == "tags" else registry.list_repositories(None))


async def test_a_short_page_and_an_empty_one_can_have_a_next_one(upstream: Upstream) -> None:
    upstream.script(names("a", link="?last=b"), names(link="?last=c"), names("d"))
    async with client(upstream.url) as registry:
        assert await all_repositories(registry, 10) == ["a", "d"]


async def test_a_name_that_is_none_is_shown_and_ends_nothing(upstream: Upstream) -> None:
    upstream.script(names("a", "z", "Bad Name"))
    async with client(upstream.url) as registry:
        page = await registry.list_repositories(10)
    bad, first, last = page.items
    assert (first, last) == (Repository("a"), Repository("z"))
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
        page = await registry.list_tags(APP, 10)
    assert (page.items, page.next) == ((), None)


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
    upstream.script(names("a", "b", "c", "d", field="tags"))
    async with client(upstream.url) as registry:
        first = await registry.list_tags(APP, 2)
        upstream.script(names("a", "c", "d", field="tags"))
        second = await registry.list_tags(APP, 2, first.next)
    assert first.items == (Tag("a"), Tag("b"))
    assert (second.items, second.next) == ((Tag("c"), Tag("d")), None)


async def test_a_tag_that_is_none_is_shown_and_ends_nothing(upstream: Upstream) -> None:
    upstream.script(names("v1", "not a tag", "-x", field="tags"))
    async with client(upstream.url) as registry:
        page = await registry.list_tags(APP, 10)
    assert [str(name) for name in page.items] == ["-x", "not a tag", "v1"]
    assert [type(name) for name in page.items] == [UnusableName, UnusableName, Tag]


async def test_an_entry_that_is_null_and_a_digest_are_no_tags(upstream: Upstream) -> None:
    digests = [f"sha256:{'a' * 64}", f"sha512:{'b' * 128}"]
    body = json.dumps({"tags": ["v2", None, "", *digests, f"sha256-{'a' * 64}", "v1"]})
    upstream.script(answer(200, body))
    async with client(upstream.url) as registry:
        page = await registry.list_tags(APP, 10)
    assert page.items == (Tag(f"sha256-{'a' * 64}"), Tag("v1"), Tag("v2"))


@given(st.sets(st.from_regex(r"[a-z]{1,3}", fullmatch=True), max_size=12), st.integers(1, 14), st.booleans())
@settings(max_examples=30, deadline=None)
async def test_every_tag_is_listed_once_whatever_the_registry_does(tags: set[str], size: int, link: bool) -> None:
    async with Upstream() as upstream:
        upstream.script(paged(sorted(tags), "tags", link=link))
        async with client(upstream.url) as registry:
            assert await all_tags(registry, size) == sorted(tags)


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


async def test_a_page_with_a_link_of_the_registrys_own_can_be_cut_anywhere(upstream: Upstream) -> None:
    one = names("a", "b", "c", "d", link="/v2/_catalog?token=x1")
    upstream.script(one)
    async with client(upstream.url) as registry:
        first = await registry.list_repositories(1)
        assert first.next == Cursor("linked", "a", "n=1000")
        second = await registry.list_repositories(2, first.next)
        third = await registry.list_repositories(2, second.next)
        assert third.next == Cursor("linked", "", "token=x1")
        assert [str(name) for page in (first, second, third) for name in page.items] == ["a", "b", "c", "d"]


async def test_a_name_that_left_a_page_without_order_is_no_position(upstream: Upstream) -> None:
    upstream.script(names("b", "a", "c", link="/v2/_catalog?token=x1"), names("c", "b", link="/v2/_catalog?token=x1"))
    async with client(upstream.url) as registry:
        first = await registry.list_repositories(2)
        with pytest.raises(Unavailable, match="start again with the first page") as caught:
            await registry.list_repositories(2, first.next)
    assert caught.value.reason == "LISTING_CHANGED"


async def test_another_order_than_that_of_the_characters_is_no_sign_of_starting_over(upstream: Upstream) -> None:
    """Distribution sorts repositories by the parts of their names: `a/z` comes before `a-b`."""
    upstream.script(
        names("a", "a/z", link="?last=a%2Fz"), names("a-b", "b"), names("a", "a/z", link="?last=a%2Fz"), names("b")
    )
    async with client(upstream.url) as registry:
        assert await all_repositories(registry, 1000) == ["a", "a/z", "a-b", "b"]


async def test_lists_that_are_read_at_the_same_time_learn_together(upstream: Upstream) -> None:
    upstream.script(paged(["1", "2", "3"], "tags"))
    async with client(upstream.url) as registry:
        await asyncio.gather(*(registry.list_tags(Repository(f"team/app-{n}"), 100) for n in range(20)))
        # Of one list: does the registry take a size, does it send a link, and is this the end?
        assert len(upstream.requests) == 22
        await registry.list_tags(APP, 100)
        assert len(upstream.requests) == 23


async def test_a_registry_that_refused_every_size_once_is_asked_for_large_pages_again(upstream: Upstream) -> None:
    upstream.script(*[refusal(400, "PAGINATION_NUMBER_INVALID")] * 11, names("a"))
    async with client(upstream.url) as registry:
        with pytest.raises(InvalidRequest):
            await registry.list_repositories(1000)
        await registry.list_repositories(1000)
    assert _size(upstream.requests[-1].query) == 1000


@pytest.mark.parametrize("status", [404, 500, 501])
async def test_a_registry_that_fails_at_the_question_for_the_rest_is_asked_for_all(
    upstream: Upstream, status: int
) -> None:
    async def without_pages(request: web.Request) -> web.StreamResponse:
        if "last" in request.raw_path or "n=1000" not in request.raw_path:
            return refusal(status, "NAME_UNKNOWN") if "?" in request.raw_path else names("a", "b", "c")
        return names("a", "b", "c")

    upstream.script(without_pages)
    async with client(upstream.url) as registry:
        assert await all_repositories(registry, 2) == ["a", "b", "c"]
