"""The notifications of the registry in memory: in order, repeated until they are taken, and lost when it stops."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from portus_gateway.aio.http_server import HttpServer
from portus_gateway.devregistry import DevRegistry, Fault, NotificationEndpoint, image
from portus_gateway.listen_address import ListenAddress


class Endpoint:
    """Takes events, or refuses as many as it is told to."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []
        self.documents: list[dict[str, Any]] = []
        self.refusals = 0
        self.requests = 0
        self.tags_at_arrival: list[dict[str, str]] = []
        self.registry: DevRegistry | None = None
        self.came = asyncio.Event()

    async def take(self, request: web.Request) -> web.Response:
        self.requests += 1
        assert request.headers["Authorization"] == "Bearer secret"
        if self.refusals:
            self.refusals -= 1
            return web.Response(status=500)
        for event in (await request.json())["events"]:
            self.documents.append(event)
            target = event["target"]
            self.events.append((event["action"], target["repository"], target.get("tag", "")))
        if self.registry is not None:
            self.tags_at_arrival.append(self.registry.tags("team/app"))
        self.came.set()
        return web.Response()

    async def until(self, number: int) -> list[tuple[str, str, str]]:
        async with asyncio.timeout(10):
            while len(self.events) < number:
                self.came.clear()
                await self.came.wait()
        return self.events


@pytest.fixture
async def endpoint() -> AsyncGenerator[tuple[Endpoint, str], None]:
    taking = Endpoint()
    application = web.Application()
    application.router.add_post("/notifications", taking.take)
    async with HttpServer(application, ListenAddress("127.0.0.1", 0), most_connections=16) as server:
        yield taking, f"http://{server.address}/notifications"


async def put(registry: DevRegistry, tag: str) -> str:
    """Pushes a manifest whose blobs are there already."""
    content = image("pushed")
    registry.push("team/app", content=content)
    async with (
        aiohttp.ClientSession() as session,
        session.put(
            f"{registry.url}/v2/team/app/manifests/{tag}",
            data=content.manifest,
            headers={"Content-Type": content.media_type},
        ) as answer,
    ):
        assert answer.status == 201
    return content.digest


async def test_a_push_is_announced_before_its_tag_is_written_and_a_delete_after(
    endpoint: tuple[Endpoint, str],
) -> None:
    taking, url = endpoint
    async with DevRegistry(auth="anonymous") as registry, aiohttp.ClientSession() as session:
        taking.registry = registry
        registry.notifications.endpoint = NotificationEndpoint(url, "secret")
        registry.notifications.tag_delay = 0.2
        digest = await put(registry, "v1")
        await taking.until(1)
        assert taking.tags_at_arrival == [{}]
        async with session.delete(f"{registry.url}/v2/team/app/manifests/{digest}") as answer:
            assert answer.status == 202
        assert await taking.until(3) == [
            ("push", "team/app", "v1"),
            ("delete", "team/app", ""),
            ("delete", "team/app", "v1"),
        ]


async def test_an_event_is_repeated_until_it_is_taken_and_blocks_the_others(endpoint: tuple[Endpoint, str]) -> None:
    taking, url = endpoint
    taking.refusals = 2
    async with DevRegistry(auth="anonymous") as registry:
        registry.notifications.endpoint = NotificationEndpoint(url, "secret", threshold=1, backoff=0.01)
        await put(registry, "v1")
        await put(registry, "v2")
        assert await taking.until(2) == [("push", "team/app", "v1"), ("push", "team/app", "v2")]
    assert taking.requests == 4


async def test_what_waits_is_lost_at_a_restart(endpoint: tuple[Endpoint, str]) -> None:
    taking, url = endpoint
    taking.refusals = 1_000_000
    registry = DevRegistry(auth="anonymous")
    async with registry:
        registry.notifications.endpoint = NotificationEndpoint(url, "secret", threshold=1, backoff=0.01)
        await put(registry, "v1")
    taking.refusals = 0
    async with registry:
        await put(registry, "v2")
        assert await taking.until(1) == [("push", "team/app", "v2")]


async def test_after_some_failures_in_a_row_it_waits(endpoint: tuple[Endpoint, str]) -> None:
    taking, url = endpoint
    taking.refusals = 3
    async with DevRegistry(auth="anonymous") as registry:
        registry.notifications.endpoint = NotificationEndpoint(url, "secret", threshold=3, backoff=60)
        await put(registry, "v1")
        async with asyncio.timeout(10):
            while taking.requests < 3:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert taking.requests == 3


async def test_a_read_is_announced_and_one_that_changed_nothing_is_not(endpoint: tuple[Endpoint, str]) -> None:
    taking, url = endpoint
    async with DevRegistry(auth="anonymous") as registry, aiohttp.ClientSession() as session:
        registry.push("team/app", "v1")
        registry.notifications.endpoint = NotificationEndpoint(url, "secret")
        manifest = f"{registry.url}/v2/team/app/manifests/v1"
        async with session.head(manifest, headers={"Accept": image().media_type}) as answer:
            etag = answer.headers["Etag"]
        async with session.head(manifest, headers={"If-None-Match": etag}) as answer:
            assert answer.status == 304
        await put(registry, "v2")
        assert await taking.until(2) == [("pull", "team/app", "v1"), ("push", "team/app", "v2")]


async def faulty(endpoint: tuple[Endpoint, str], fault: str, number: int) -> list[tuple[str, str]]:
    """What is announced of the pushes of v1 and v2, so many events: the tags, and the digests' beginnings."""
    taking, url = endpoint
    async with DevRegistry(auth="anonymous", faults=[Fault.parse(f"notifications:{fault}")]) as registry:
        registry.notifications.endpoint = NotificationEndpoint(url, "secret")
        digest = await put(registry, "v1")
        await put(registry, "v2")
        await taking.until(number)
    return [
        (event["target"]["tag"], "true" if event["target"]["digest"] == digest else "forged")
        for event in taking.documents
    ]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("drop,times=1", [("v2", "true")]),
        ("double,times=1", [("v1", "true"), ("v1", "true"), ("v2", "true")]),
        ("reorder,times=1", [("v2", "true"), ("v1", "true")]),
        ("reorder,after=1", [("v1", "true"), ("v2", "true")]),
        ("forge,times=1", [("v1", "forged"), ("v1", "true"), ("v2", "true")]),
        ("delay=0.2,times=1", [("v1", "true"), ("v2", "true")]),
        ("method=DELETE,drop", [("v1", "true"), ("v2", "true")]),
        ("repository=other/*,drop", [("v1", "true"), ("v2", "true")]),
    ],
)
async def test_faults(endpoint: tuple[Endpoint, str], fault: str, expected: list[tuple[str, str]]) -> None:
    assert await faulty(endpoint, fault, len(expected)) == expected
