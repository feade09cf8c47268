import re

import pytest

from portus_gateway.devregistry import DevRegistry, image
from tests.devregistry.http_client import Answer, HttpClient


def names(answer: Answer) -> list[str]:
    assert answer.status == 200
    found = answer.json()["repositories"]
    assert isinstance(found, list)
    return found


async def walk(client: HttpClient, registry: DevRegistry, path: str) -> list[list[str]]:
    pages = []
    while path:
        answer = await client.call(registry, "GET", path)
        pages.append(names(answer))
        link = re.fullmatch(r'<(/[^>]*)>; rel="next"', answer.headers.get("Link", ""))
        path = link[1] if link else ""
    return pages


async def test_repositories_are_sorted_by_component(client: HttpClient, registry: DevRegistry) -> None:
    for name in ("a-b", "b", "a.c", "a/z", "a", "a0", "a/b/c"):
        registry.push(name, "1")
    expected = ["a", "a/b/c", "a/z", "a-b", "a.c", "a0", "b"]
    assert names(await client.call(registry, "GET", "/v2/_catalog")) == expected
    assert registry.repositories() == expected


async def test_pages_are_linked_relatively_until_the_end(client: HttpClient, registry: DevRegistry) -> None:
    for name in ("a/b", "a-b", "c/d", "a", "e"):
        registry.push(name, "1")
    first = await client.call(registry, "GET", "/v2/_catalog?n=2")
    assert first.headers["Link"] == '</v2/_catalog?last=a%2Fb&n=2>; rel="next"'
    assert await walk(client, registry, "/v2/_catalog?n=2") == [["a", "a/b"], ["a-b", "c/d"], ["e"]]


async def test_a_page_that_ends_with_the_catalog_has_no_link(client: HttpClient, registry: DevRegistry) -> None:
    registry.push_many(["a", "b", "c", "d"])
    assert await walk(client, registry, "/v2/_catalog?n=2") == [["a", "b"], ["c", "d"]]


async def test_last_need_not_exist(client: HttpClient, registry: DevRegistry) -> None:
    registry.push_many(["a", "c"])
    assert names(await client.call(registry, "GET", "/v2/_catalog?last=b")) == ["c"]
    assert names(await client.call(registry, "GET", "/v2/_catalog?last=z")) == []


async def test_the_page_size_is_100_unless_asked_for(client: HttpClient, registry: DevRegistry) -> None:
    registry.push_many(f"r{number:04}" for number in range(1500))
    assert len(names(await client.call(registry, "GET", "/v2/_catalog"))) == 100
    assert len(names(await client.call(registry, "GET", "/v2/_catalog?n=1000"))) == 1000
    assert names(await client.call(registry, "GET", "/v2/_catalog?n=0")) == []


@pytest.mark.parametrize("n", ["1001", "-1", "x"])
async def test_a_page_size_out_of_range_is_refused(client: HttpClient, registry: DevRegistry, n: str) -> None:
    answer = await client.call(registry, "GET", f"/v2/_catalog?n={n}")
    assert (answer.status, answer.code) == (400, "PAGINATION_NUMBER_INVALID")


async def test_2_8_ignores_a_malformed_page_size_and_refuses_a_large_one(
    client: HttpClient, registry_2_8: DevRegistry
) -> None:
    assert (await client.call(registry_2_8, "GET", "/v2/_catalog?n=-1")).status == 200
    assert (await client.call(registry_2_8, "GET", "/v2/_catalog?n=1001")).status == 400


async def test_the_limit_can_be_lowered(client: HttpClient, registry: DevRegistry) -> None:
    registry.maximum_page = 10
    assert (await client.call(registry, "GET", "/v2/_catalog?n=11")).code == "PAGINATION_NUMBER_INVALID"


async def test_an_emptied_repository_stays(client: HttpClient, registry: DevRegistry) -> None:
    digest = registry.push("a", "1")
    assert (await client.call(registry, "DELETE", f"/v2/a/manifests/{digest}")).status == 202
    assert names(await client.call(registry, "GET", "/v2/_catalog")) == ["a"]


async def test_2_8_lists_a_repository_of_blobs_whose_tags_are_not_found(
    client: HttpClient, registry_2_8: DevRegistry
) -> None:
    content = image(layers=0)
    registry_2_8.push("a", "1", content=content)
    [digest] = content.blobs
    await client.call(registry_2_8, "POST", f"/v2/new/blobs/uploads/?mount={digest}&from=a")
    assert names(await client.call(registry_2_8, "GET", "/v2/_catalog")) == ["a", "new"]
    answer = await client.call(registry_2_8, "GET", "/v2/new/tags/list")
    assert (answer.status, answer.code) == (404, "NAME_UNKNOWN")


async def test_only_get_is_allowed(client: HttpClient, registry: DevRegistry) -> None:
    answer = await client.call(registry, "POST", "/v2/_catalog")
    assert (answer.status, answer.headers["Allow"], answer.body) == (405, "GET", b"Method not allowed\n")


async def test_a_hundred_thousand_repositories_are_seeded_at_once(client: HttpClient, registry: DevRegistry) -> None:
    digest = registry.push_many((f"team{number % 97}/app{number}" for number in range(100_000)), ("1.0", "latest"))
    page = names(await client.call(registry, "GET", "/v2/_catalog?n=1000&last=team50%2Fapp"))
    assert len(page) == 1000
    assert page[0].startswith("team50/app")
    assert registry.tags("team3/app3") == {"1.0": digest, "latest": digest}
    assert (await client.pull(registry, "team96/app96", "1.0")).headers["Docker-Content-Digest"] == digest
    registry.delete("team3/app3", digest)
    assert registry.holds("team4/app4", digest)
