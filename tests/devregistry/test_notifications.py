"""The notifications of the registry in memory: in order, repeated until they are taken, and lost when it stops."""

import asyncio
from collections.abc import AsyncGenerator

import aiohttp
import pytest
from aiohttp import web

from portus_gateway.devregistry import DevRegistry, NotificationEndpoint, image


class Endpoint:
    """Takes events, or refuses as many as it is told to."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []
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
            self.events.append((event["action"], event["target"]["repository"], event["target"]["tag"]))
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
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield taking, f"http://127.0.0.1:{runner.addresses[0][1]}/notifications"
    await runner.cleanup()


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
        registry.notifications.endpoint = NotificationEndpoint(url, "secret", backoff=0.01)
        await put(registry, "v1")
        await put(registry, "v2")
        assert await taking.until(2) == [("push", "team/app", "v1"), ("push", "team/app", "v2")]
    assert taking.requests == 4


async def test_what_waits_is_lost_at_a_restart(endpoint: tuple[Endpoint, str]) -> None:
    taking, url = endpoint
    taking.refusals = 1_000_000
    registry = DevRegistry(auth="anonymous")
    async with registry:
        registry.notifications.endpoint = NotificationEndpoint(url, "secret", backoff=0.01)
        await put(registry, "v1")
    taking.refusals = 0
    async with registry:
        await put(registry, "v2")
        assert await taking.until(1) == [("push", "team/app", "v2")]
