"""The script that somebody would write who wants the catalog with tags and is good at aiohttp."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL


@asynccontextmanager
async def session() -> AsyncGenerator[aiohttp.ClientSession, None]:
    """Connections that are kept, as many as are wanted at a time."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector, raise_for_status=True) as opened:
        yield opened


async def whole_catalog(registry: str, concurrency: int) -> tuple[float, int]:
    """Lists all repositories of `registry` (host:port) with their tags: how many seconds it took, and how many tags."""
    began = time.perf_counter()
    async with session() as opened:
        names = await _repositories(opened, registry)
        waiting = iter(names)
        tags: dict[str, list[str]] = {}

        async def reader() -> None:
            for name in waiting:
                async with opened.get(f"http://{registry}/v2/{name}/tags/list") as answer:
                    tags[name] = (await answer.json())["tags"]

        async with asyncio.TaskGroup() as readers:
            for _ in range(concurrency):
                readers.create_task(reader())
    return time.perf_counter() - began, sum(map(len, tags.values()))


async def page_times(registry: str, pages: int) -> list[float]:
    """How long each of the first `pages` pages of the catalog takes, in seconds."""
    times: list[float] = []
    async with session() as opened:
        path: str | None = "/v2/_catalog?n=1000"
        while path is not None and len(times) < pages:
            began = time.perf_counter()
            async with opened.get(f"http://{registry}{path}") as answer:
                await answer.read()
                following = answer.links.get("next")
            times.append(time.perf_counter() - began)
            path = URL(following["url"]).path_qs if following else None
    return times


async def _repositories(opened: aiohttp.ClientSession, registry: str) -> list[str]:
    names: list[str] = []
    path: str | None = "/v2/_catalog?n=1000"
    while path is not None:
        async with opened.get(f"http://{registry}{path}") as answer:
            names += (await answer.json())["repositories"]
            following = answer.links.get("next")
        path = URL(following["url"]).path_qs if following else None
    return names
