"""How many requests the registry gets where many callers want the same."""

import asyncio
from pathlib import Path

import aiohttp

from bench import calls, content, servers
from bench.figure import Figure

_CALLERS = 32


async def measure(folder: Path, rounds: int, _: float) -> list[Figure]:
    """32 callers, each on a connection of its own, ask at the same time for a tag that the gateway does not know.

    Two requests at most: one that began when the first of them came, and the next one for all who came after that.
    """
    storage = folder / "registry/storage"
    tags = [f"v{number}" for number in range(rounds)]
    content.put_image(storage, "team/app", tags, content.image("team/app"))
    counts: list[int] = []
    async with (
        servers.registry(folder / "registry") as registry,
        servers.delaying_proxy(registry.address, seconds=0.01) as proxy,
        # Its readiness checks are requests too: none between two counts.
        servers.gateway(folder / "gateway", proxy.address, PORTUS_READINESS_INTERVAL="1h") as gateway,
    ):
        channels = [calls.channel(gateway) for _ in range(_CALLERS)]
        try:
            await asyncio.gather(*(channel.channel_ready() for channel in channels))
            for tag in tags:
                request = calls.get_manifest("team/app", tag, cached=False).SerializeToString()
                before = await requests_of(proxy)
                await asyncio.gather(*(calls.answer_on(channel, gateway, request) for channel in channels))
                counts.append(await requests_of(proxy) - before)
        finally:
            for channel in channels:
                await channel.close()
    return [
        Figure(
            name=f"{_CALLERS} callers, the same tag at once",
            runs=[max(counts)],
            unit="upstream requests",
            bar=2,
            against="one for each caller",
            measured=f"the most of {rounds} rounds",
            raw=counts,
        )
    ]


async def requests_of(proxy: servers.Server) -> int:
    """How many requests a proxy has seen."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{proxy.address}/bench/requests") as answer:
        return int(await answer.text())
