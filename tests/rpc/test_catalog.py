"""Catalog."""

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import CatalogRequest, CatalogResponse, ListTagsRequest
from portus_gateway.devregistry import DevRegistry, Fault
from tests.rpc.failures import failure_of, read
from tests.rpc.gateways import Gateway, serve_over

MANY = [f"team/app{number:04}" for number in range(1200)]


async def ask(
    gateway: Gateway, *, page_size: int = 0, page_token: str = "", include_tags: bool = False, prefix: str = ""
) -> CatalogResponse:
    request = CatalogRequest(page_size=page_size, page_token=page_token, include_tags=include_tags, prefix=prefix)
    return await gateway.stub.Catalog(request, timeout=10)


def names(page: CatalogResponse) -> list[str]:
    return [repository.name for repository in page.repositories]


async def all_names(gateway: Gateway, page_size: int, prefix: str = "") -> list[list[str]]:
    """The names of every page."""
    pages = [await ask(gateway, page_size=page_size, prefix=prefix)]
    while pages[-1].next_page_token:
        token = pages[-1].next_page_token
        pages.append(await ask(gateway, page_size=page_size, page_token=token, prefix=prefix))
    return [names(page) for page in pages]


async def test_an_empty_registry(gateway: Gateway) -> None:
    page = await ask(gateway)
    assert (list(page.repositories), page.next_page_token) == ([], "")


@pytest.mark.parametrize(("asked", "size"), [(0, 100), (7, 7), (1000, 1000), (5000, 1000)])
async def test_the_size_of_a_page(registry: DevRegistry, gateway: Gateway, asked: int, size: int) -> None:
    registry.push_many(MANY)
    page = await ask(gateway, page_size=asked)
    assert names(page) == MANY[:size]
    assert page.next_page_token


@pytest.mark.parametrize("size", [99, 100, 600, 1000])
async def test_the_pages_together_are_the_catalog(registry: DevRegistry, gateway: Gateway, size: int) -> None:
    registry.push_many(MANY)
    pages = await all_names(gateway, size)
    assert [name for page in pages for name in page] == MANY
    assert all(len(page) <= size for page in pages)


async def test_the_page_size_may_change_from_page_to_page(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push_many(MANY[:50])
    first = await ask(gateway, page_size=10)
    second = await ask(gateway, page_size=30, page_token=first.next_page_token)
    assert names(second) == MANY[10:40]


async def test_a_prefix_chooses(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push_many([*MANY[:40], "zoo/bear"])
    pages = await all_names(gateway, 10, prefix="zoo/")
    assert [name for page in pages for name in page] == ["zoo/bear"]


async def test_a_prefix_without_a_match_is_no_error(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push_many(MANY[:5])
    assert list((await ask(gateway, prefix="Nobody/")).repositories) == []


async def test_a_token_is_valid_on_another_replica(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push_many(MANY[:20])
    first = await ask(gateway, page_size=10)
    async with serve_over(registry) as replica:
        second = await ask(replica, page_size=10, page_token=first.next_page_token)
    assert names(second) == MANY[10:20]


async def test_a_token_for_other_arguments_or_of_another_rpc_is_refused(
    registry: DevRegistry, gateway: Gateway
) -> None:
    registry.push_many(MANY[:20])
    registry.push("team/app", *[f"v{number}" for number in range(20)])
    token = (await ask(gateway, page_size=10)).next_page_token
    tags = await gateway.stub.ListTags(ListTagsRequest(repository="team/app", page_size=10))
    seen = registry.requests.total
    failures = [
        await failure_of(ask(gateway, page_token=token, include_tags=True)),
        await failure_of(ask(gateway, page_token=token, prefix="team/")),
        await failure_of(ask(gateway, page_token=tags.next_page_token)),
        await failure_of(ask(gateway, page_token=token[:-2])),
        await failure_of(ask(gateway, page_token="https://elsewhere/")),
    ]
    for failed in failures:
        assert failed.outcome == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
        assert list(failed.fields) == ["page_token"]
    assert registry.requests.total == seen


async def test_tags_where_they_are_asked_for_and_only_then(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push("team/app", "2.0", "1.0")
    registry.push("team/empty", "gone")
    registry.untag("team/empty", "gone")
    assert list((await ask(gateway)).repositories[0].tags) == []
    assert registry.requests.count(route="tags") == 0
    app, empty = (await ask(gateway, include_tags=True)).repositories
    assert (list(app.tags), app.HasField("tags_status")) == (["1.0", "2.0"], False)
    assert (list(empty.tags), empty.HasField("tags_status")) == ([], False)


async def test_tags_that_cannot_be_listed_are_unknown_and_not_absent(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push("a", "1.0")
    registry.push("b", "1.0")
    with registry.inject(Fault(route="tags", repository="a", status=503)):
        broken, whole = (await ask(gateway, include_tags=True)).repositories
    reported = read(broken.tags_status)
    assert reported.outcome == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNAVAILABLE")
    assert reported.resource == ("repository", "a")
    assert list(whole.tags) == ["1.0"]


async def test_a_page_of_failures_stays_small(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push_many(MANY[:100])
    body = '{"errors": [{"code": "UNKNOWN", "message": "' + "x" * 5000 + '"}]}'
    with registry.inject(Fault(route="tags", status=500, body=body)):
        page = await ask(gateway, include_tags=True)
    assert len(page.repositories) == 100
    assert page.ByteSize() < 100 * 1200


async def test_a_registry_without_a_catalog(registry: DevRegistry, gateway: Gateway) -> None:
    with registry.inject(Fault(route="catalog", status=405)):
        failed = await failure_of(ask(gateway))
    assert failed.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "UNSUPPORTED")
    assert failed.resource is None


async def test_a_registry_that_may_not_be_listed(registry: DevRegistry, gateway: Gateway) -> None:
    with registry.inject(Fault(route="token", without_rights=True)):
        failed = await failure_of(ask(gateway))
    assert failed.outcome == (grpc.StatusCode.PERMISSION_DENIED, "DENIED")
