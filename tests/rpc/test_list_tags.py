"""ListTags."""

import json

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import (
    CatalogRequest,
    DeleteManifestRequest,
    ListTagsRequest,
    ListTagsResponse,
)
from portus_gateway.devregistry import DevRegistry, Fault
from portus_gateway.distribution import Cursor, Page, Repository, Tag, UnusableName
from tests.rpc.failures import failure_of
from tests.rpc.gateways import Gateway, serve, serve_over
from tests.rpc.scripted_registry import ScriptedRegistry

TAGS = [f"v{number:04}" for number in range(1200)]


async def ask(
    gateway: Gateway, repository: str = "team/app", *, page_size: int = 0, page_token: str = ""
) -> ListTagsResponse:
    request = ListTagsRequest(repository=repository, page_size=page_size, page_token=page_token)
    return await gateway.stub.ListTags(request, timeout=10)


async def all_tags(gateway: Gateway, page_size: int) -> list[str]:
    page = await ask(gateway, page_size=page_size)
    tags = list(page.tags)
    while page.next_page_token:
        page = await ask(gateway, page_size=page_size, page_token=page.next_page_token)
        assert len(page.tags) <= page_size
        tags.extend(page.tags)
    return tags


@pytest.mark.parametrize(("asked", "size"), [(0, 100), (7, 7), (1000, 1000), (5000, 1000)])
async def test_the_size_of_a_page(registry: DevRegistry, gateway: Gateway, asked: int, size: int) -> None:
    registry.push("team/app", *TAGS)
    page = await ask(gateway, page_size=asked)
    assert list(page.tags) == TAGS[:size]
    assert page.next_page_token


@pytest.mark.parametrize("size", [100, 600, 999])
async def test_the_pages_together_are_all_tags(registry: DevRegistry, gateway: Gateway, size: int) -> None:
    registry.push("team/app", *TAGS)
    assert await all_tags(gateway, size) == TAGS


async def test_a_registry_that_lists_all_at_once_and_in_no_order_is_paged_all_the_same() -> None:
    async with DevRegistry(flavour="2.8") as registry, serve_over(registry) as gateway:
        registry.push("team/app", *reversed(TAGS))
        assert await all_tags(gateway, 500) == TAGS


class Circle(ScriptedRegistry):
    """Two pages of tags, each of which has a `Link` to the other one."""

    async def list_tags(
        self,
        repository: Repository,
        size: int | None,
        after: Cursor | None = None,
    ) -> Page[Tag | UnusableName]:
        here, other = ("b", "a") if after is not None and after.query == "page=b" else ("a", "b")
        return Page((Tag(here),), Cursor("linked", "", f"page={other}"), Cursor("linked", "", f"page={here}"))


async def test_of_pages_in_a_circle_a_token_repeats_which_ends_the_listing_of_clients() -> None:
    async with serve(Circle()) as gateway:
        tokens = [""]
        for _ in range(4):
            tokens.append((await ask(gateway, page_token=tokens[-1])).next_page_token)
    assert tokens[1:3] == tokens[3:]
    assert len(set(tokens)) == 3


async def test_a_repository_without_tags_is_an_empty_page(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push("team/app", "1.0")
    registry.untag("team/app", "1.0")
    page = await ask(gateway)
    assert (list(page.tags), page.next_page_token) == ([], "")


async def test_a_repository_that_there_is_not(gateway: Gateway) -> None:
    failed = await failure_of(ask(gateway, "team/other"))
    assert failed.outcome == (grpc.StatusCode.NOT_FOUND, "NAME_UNKNOWN")
    assert failed.resource == ("repository", "team/other")
    assert "team/other" in failed.message


async def test_a_404_that_no_registry_wrote_is_not_absence(registry: DevRegistry, gateway: Gateway) -> None:
    with registry.inject(Fault(route="tags", status=404, body="<h1>nginx</h1>")):
        failed = await failure_of(ask(gateway))
    assert failed.outcome == (grpc.StatusCode.INTERNAL, "UPSTREAM_ERROR")


async def test_a_token_of_another_repository_or_rpc_is_refused(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push("team/app", *TAGS[:20])
    registry.push("team/worker", *TAGS[:20])
    token = (await ask(gateway, page_size=10)).next_page_token
    catalog = await gateway.stub.Catalog(CatalogRequest(page_size=1))
    seen = registry.requests.total
    for repository, foreign in (("team/worker", token), ("team/app", catalog.next_page_token)):
        failed = await failure_of(ask(gateway, repository, page_token=foreign))
        assert failed.outcome == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
        assert "start again with the first page" in failed.fields["page_token"]
    assert registry.requests.total == seen
    assert list((await ask(gateway, page_size=10, page_token=token)).tags) == TAGS[10:20]


async def test_too_many_requests_say_when_to_try_again(registry: DevRegistry, gateway: Gateway) -> None:
    with registry.inject(Fault(route="tags", status=429, headers=(("Retry-After", "7"),))):
        failed = await failure_of(ask(gateway))
    assert failed.outcome == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOOMANYREQUESTS")
    assert failed.retry_delay == 7


async def test_names_that_are_no_tags_are_listed_beside_the_tags(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0")
    body = json.dumps({"name": "team/app", "tags": ["1.0", None, "not a tag", "-x", digest]})
    with registry.inject(Fault(route="tags", status=200, body=body)):
        page = await ask(gateway)
        (listed,) = (await gateway.stub.Catalog(CatalogRequest(include_tags=True))).repositories
        deletion = DeleteManifestRequest(repository="team/app", digest=digest, expected_tags=["1.0"])
        refused = await failure_of(gateway.stub.DeleteManifest(deletion))
    assert (list(page.tags), list(page.unusable_tags)) == (["1.0"], ["-x", "not a tag"])
    assert (list(listed.tags), list(listed.unusable_tags)) == (["1.0"], ["-x", "not a tag"])
    assert not listed.HasField("tags_status")
    assert refused.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "UNUSABLE_TAGS")
