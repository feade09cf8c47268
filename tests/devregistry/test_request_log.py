import asyncio

import pytest

from portus_gateway.devregistry import DevRegistry, Fault, RequestLog
from tests.devregistry.http_client import HttpClient, basic


async def test_every_request_is_recorded_as_it_was_on_the_wire(client: HttpClient, registry: DevRegistry) -> None:
    registry.push("team/app", "1.0")
    await client.send(
        "GET", f"{registry.url}/v2/team%2Fapp/tags/list?n=5&last=a%2Fb", headers={"X-Request-Id": "r1", "X-Other": "x"}
    )
    await client.send("HEAD", f"{registry.url}/v2/team/app/manifests/none")
    first, second = registry.requests
    assert (first.method, first.target) == ("GET", "/v2/team%2Fapp/tags/list?n=5&last=a%2Fb")
    assert (first.route, first.repository, first.status, first.authorization) == ("tags", "team/app", 200, None)
    assert first.headers["x-request-id"] == "r1"
    assert "x-other" not in first.headers
    assert (second.method, second.route, second.status) == ("HEAD", "manifests", 404)
    assert registry.requests[-1] is second
    assert first.arrived_at <= second.arrived_at


@pytest.mark.parametrize(
    ("path", "route", "repository"),
    [
        ("/v2/", "ping", None),
        ("/v2/_catalog?n=1", "catalog", None),
        ("/v2/a/b/tags/list", "tags", "a/b"),
        ("/v2/a/manifests/x", "manifests", "a"),
        ("/v2/a/blobs/sha256:" + "0" * 64, "blobs", "a"),
        ("/v2/a/blobs/uploads/", "uploads", "a"),
        ("/v2/a/referrers/sha256:" + "0" * 64, "referrers", "a"),
        ("/v2/manifests/manifests/tags/list", "tags", "manifests/manifests"),
        ("/v2/A/tags/list", "unknown", None),
        ("/", "unknown", None),
    ],
)
async def test_a_request_is_recorded_with_its_route(
    client: HttpClient, registry: DevRegistry, path: str, route: str, repository: str | None
) -> None:
    await client.send("GET", registry.url + path)
    [record] = registry.requests
    assert (record.route, record.repository) == (route, repository)


async def test_credentials_are_never_kept(client: HttpClient, guarded: DevRegistry) -> None:
    await client.call(guarded, "GET", "/v2/_catalog")
    await client.send("GET", guarded.url + "/v2/", headers={"Authorization": basic("portus", "geheim")})
    assert [record.authorization for record in guarded.requests] == [None, "bearer", "basic"]
    kept = repr(list(guarded.requests)) + repr(list(guarded.tokens.requests))
    for secret in (guarded.password, basic(guarded.username, guarded.password).split()[1], "geheim", "eyJ"):
        assert secret not in kept


async def test_select_and_count_match_every_argument(client: HttpClient, registry: DevRegistry) -> None:
    registry.push("a", "1")
    for method, path in (("GET", "/v2/a/tags/list"), ("GET", "/v2/b/tags/list"), ("HEAD", "/v2/a/manifests/1")):
        await client.send(method, registry.url + path)
    log = registry.requests
    assert (len(log), log.total, log.count()) == (3, 3, 3)
    assert log.count(route="tags") == 2
    assert log.count(repository="a") == 2
    assert log.count(method="HEAD") == 1
    assert log.count(route="tags", status=404) == 1
    assert [record.repository for record in log.select(route="tags")] == ["a", "b"]
    assert log.count(route="tags", method="HEAD") == 0
    log.clear()
    assert (len(log), log.total) == (0, 0)


async def test_only_the_latest_are_kept_but_all_are_counted(client: HttpClient, registry: DevRegistry) -> None:
    registry.requests = RequestLog(capacity=2)
    for number in range(3):
        await client.send("GET", f"{registry.url}/v2/a{number}/tags/list")
    assert [record.repository for record in registry.requests] == ["a1", "a2"]
    assert registry.requests.total == 3


async def test_an_unanswered_request_is_in_flight_and_has_no_status(client: HttpClient, registry: DevRegistry) -> None:
    await client.send("GET", f"{registry.url}/v2/")
    with registry.inject(Fault(route="tags", hang=True)):
        waiting = [asyncio.create_task(client.send("GET", f"{registry.url}/v2/a/tags/list")) for _ in range(3)]
        await registry.requests.wait_for(3, route="tags")
        assert (registry.requests.in_flight, registry.requests.max_concurrent) == (3, 3)
        assert [record.status for record in registry.requests] == [200, None, None, None]
        registry.requests.clear()
        assert (registry.requests.in_flight, registry.requests.max_concurrent) == (3, 3)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_wait_for_says_what_did_not_arrive(client: HttpClient, registry: DevRegistry) -> None:
    await client.send("GET", f"{registry.url}/v2/a/tags/list")
    await registry.requests.wait_for(1, route="tags", method="GET", repository="a", timeout=0)
    with pytest.raises(TimeoutError, match=r"1 of 2 requests \(route tags\) arrived in 0.01 s"):
        await registry.requests.wait_for(2, route="tags", timeout=0.01)


async def test_wait_for_ends_when_the_request_arrives(client: HttpClient, registry: DevRegistry) -> None:
    waiting = asyncio.create_task(registry.requests.wait_for(2, route="ping"))
    await client.send("GET", f"{registry.url}/v2/")
    assert not waiting.done()
    await client.send("GET", f"{registry.url}/v2/")
    await asyncio.wait_for(waiting, 5)
