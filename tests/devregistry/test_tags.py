import re

import pytest

from portus_gateway.devregistry import DevRegistry
from tests.devregistry.http_client import Answer, HttpClient


async def tags(client: HttpClient, registry: DevRegistry, query: str = "", repository: str = "a") -> Answer:
    return await client.call(registry, "GET", f"/v2/{repository}/tags/list{query}")


async def walk(client: HttpClient, registry: DevRegistry, size: int) -> list[object]:
    pages = []
    path = f"/v2/a/tags/list?n={size}"
    while path:
        answer = await client.call(registry, "GET", path)
        assert answer.status == 200
        pages.append(answer.json()["tags"])
        link = re.fullmatch(r'<(/[^>]*)>; rel="next"', answer.headers.get("Link", ""))
        path = link[1] if link else ""
    return pages


async def test_tags_come_in_order_and_as_the_registry_writes_them(client: HttpClient, registry: DevRegistry) -> None:
    registry.push("a", "t3", "t1", "T2", "t10", "_x")
    answer = await tags(client, registry)
    assert (answer.status, answer.body) == (200, b'{"name":"a","tags":["T2","_x","t1","t10","t3"]}\n')
    assert answer.headers["Content-Type"] == "application/json"
    assert "Link" not in answer.headers


async def test_2_8_gives_all_tags_unsorted_whatever_n_says(client: HttpClient, registry_2_8: DevRegistry) -> None:
    names = [f"t{number:02}" for number in range(30)]
    registry_2_8.push("a", *names)
    whole = await tags(client, registry_2_8)
    found = whole.json()["tags"]
    assert isinstance(found, list)
    assert sorted(found) == names != found
    assert whole.headers["Content-Type"] == "application/json; charset=utf-8"
    for query in ("?n=2", "?n=2&last=t10", "?n=0", "?n=-1", "?n=x", "?n=5000"):
        answer = await tags(client, registry_2_8, query)
        assert (answer.status, answer.body) == (200, whole.body)
        assert "Link" not in answer.headers


async def test_3_1_pages_and_a_full_last_page_is_followed_by_an_empty_one(
    client: HttpClient, registry: DevRegistry
) -> None:
    registry.push("a", "t1", "t2", "t3", "t4")
    first = await tags(client, registry, "?n=2")
    assert first.headers["Link"] == '</v2/a/tags/list?last=t2&n=2>; rel="next"'
    assert await walk(client, registry, 2) == [["t1", "t2"], ["t3", "t4"], None]
    assert await walk(client, registry, 3) == [["t1", "t2", "t3"], ["t4"]]


async def test_last_need_not_exist(client: HttpClient, registry: DevRegistry) -> None:
    registry.push("a", "t1", "t3")
    assert (await tags(client, registry, "?last=t2")).json()["tags"] == ["t3"]
    assert (await tags(client, registry, "?last=t3")).json()["tags"] is None


async def test_3_1_clamps_a_large_page_and_refuses_a_bad_one(client: HttpClient, registry: DevRegistry) -> None:
    registry.maximum_page = 2
    registry.push("a", "t1", "t2", "t3")
    clamped = await tags(client, registry, "?n=5000")
    assert clamped.json()["tags"] == ["t1", "t2"]
    assert clamped.headers["Link"] == '</v2/a/tags/list?last=t2&n=2>; rel="next"'
    for n in ("-1", "x", "1_0", "%201", "9" * 30):
        answer = await tags(client, registry, f"?n={n}")
        assert (answer.status, answer.code) == (400, "PAGINATION_NUMBER_INVALID")
    assert (await tags(client, registry, "?n=0")).json()["tags"] == []


async def test_a_repository_without_a_tag_left_has_null_for_tags(
    client: HttpClient, registry: DevRegistry, registry_2_8: DevRegistry
) -> None:
    for tried in (registry, registry_2_8):
        digest = tried.push("a", "1")
        tried.delete("a", digest)
        answer = await tags(client, tried)
        assert (answer.status, answer.body) == (200, b'{"name":"a","tags":null}\n')


async def test_a_repository_that_never_had_a_tag_is_not_known(client: HttpClient, registry: DevRegistry) -> None:
    registry.push("untagged")
    for repository in ("untagged", "none"):
        answer = await tags(client, registry, repository=repository)
        assert (answer.status, answer.code) == (404, "NAME_UNKNOWN")


@pytest.mark.parametrize("method", ["HEAD", "POST", "DELETE"])
async def test_only_get_is_allowed(client: HttpClient, registry: DevRegistry, method: str) -> None:
    answer = await client.call(registry, method, "/v2/a/tags/list")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")


async def test_a_nested_name_may_be_percent_encoded(client: HttpClient, registry: DevRegistry) -> None:
    registry.push("team/app", "1")
    assert (await tags(client, registry, repository="team%2Fapp")).json() == {"name": "team/app", "tags": ["1"]}


async def test_a_slash_too_many_or_too_few_is_redirected(client: HttpClient, registry: DevRegistry) -> None:
    for path, location in (
        ("/v2", "/v2/"),
        ("/v2/_catalog/", "/v2/_catalog"),
        ("/v2/a/tags/list/", "/v2/a/tags/list"),
        ("/v2/a/blobs/uploads", "/v2/a/blobs/uploads/"),
    ):
        answer = await client.call(registry, "GET", path)
        assert (answer.status, answer.headers["Location"]) == (301, location)
