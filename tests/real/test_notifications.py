"""The registry in memory sends the same notifications as distribution."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from portus_gateway.aio.http_server import HttpServer
from portus_gateway.devregistry import Content, DevRegistry, Flavour, NotificationEndpoint, image
from portus_gateway.listen_address import ListenAddress
from tests import programs
from tests.real.registry_process import serving

IMAGE = image("notified")
# What differs between two registries that do the same.
VARYING = ("id", "timestamp", "addr", "host", "useragent", "url", "instanceID", "actor")


class Endpoint:
    """Remembers what it is sent."""

    def __init__(self) -> None:
        self.types: set[str] = set()
        self.events: list[dict[str, object]] = []

    async def take(self, request: web.Request) -> web.Response:
        self.types.add(request.headers["Content-Type"])
        self.events += (await request.json())["events"]
        return web.Response()


@asynccontextmanager
async def endpoint() -> AsyncGenerator[tuple[Endpoint, str], None]:
    taking = Endpoint()
    application = web.Application()
    application.router.add_post("/", taking.take)
    async with HttpServer(application, ListenAddress("127.0.0.1", 0), most_connections=16) as server:
        yield taking, f"http://{server.address}/"


async def use(url: str, content: Content) -> None:
    """Pushes a tag, reads it in all ways, pushes by digest, and deletes."""
    async with aiohttp.ClientSession(headers={"Accept": content.media_type}) as session:
        for digest, blob in content.blobs.items():
            async with session.post(f"{url}/v2/team/app/blobs/uploads/") as started:
                place = URL(started.headers["Location"]).update_query(digest=digest)
            async with session.put(place, data=blob) as answer:
                assert answer.status == 201
        manifests = f"{url}/v2/team/app/manifests"
        sent = {"data": content.manifest, "headers": {"Content-Type": content.media_type}}
        for method, reference, options, status in (
            ("PUT", "v1", sent, 201),
            ("PUT", "v1", sent, 201),
            ("PUT", content.digest, sent, 201),
            ("HEAD", "v1", {}, 200),
            ("GET", content.digest, {}, 200),
            ("HEAD", "v1", {"headers": {"If-None-Match": content.digest}}, 304),
            ("HEAD", "v2", {}, 404),
            ("PUT", "v3", sent, 201),
            ("DELETE", content.digest, {}, 202),
        ):
            async with session.request(method, f"{manifests}/{reference}", **options) as answer:
                assert answer.status == status, (method, reference)


def without_what_varies(value: object) -> object:
    """Names of fields that vary, without their values."""
    if not isinstance(value, dict):
        return value
    return {name: "" if name in VARYING else without_what_varies(part) for name, part in value.items()}


async def told(taking: Endpoint, number: int) -> list[object]:
    async with asyncio.timeout(20):
        while len(taking.events) < number:
            await asyncio.sleep(0.01)
    # The events of a manifest and its tags that are deleted come in any order: the registry finds its tags in parallel.
    return list(map(without_what_varies, sorted(taking.events, key=_turn)))


def _turn(event: dict[str, object]) -> tuple[bool, str]:
    deletes = event["action"] == "delete"
    return deletes, str(event["target"]) if deletes else ""


@pytest.mark.parametrize(
    ("program", "flavour"),
    [(programs.docker_registry, "2.8"), (programs.distribution, "3.1")],
    ids=["2.8", "3.1"],
)
async def test_the_registry_in_memory_announces_the_same(
    program: Callable[[], str], flavour: Flavour, tmp_path: Path
) -> None:
    async with endpoint() as (of_real, url):
        settings = {"name": "test", "url": url, "ignoredmediatypes": ["application/octet-stream"]}
        async with serving(program(), tmp_path, auth=None, notifications={"endpoints": [settings]}) as real:
            await use(real.url, IMAGE)
            expected = await told(of_real, 9)
    async with endpoint() as (of_dev, url), DevRegistry(auth="anonymous", flavour=flavour) as registry:
        registry.notifications.endpoint = NotificationEndpoint(url, "secret")
        await use(registry.url, IMAGE)
        assert await told(of_dev, 9) == expected
    assert of_dev.types == of_real.types
