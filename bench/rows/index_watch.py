"""How long after a push WatchEvents tells it, beside the moment when the registry itself shows the tag."""

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import aiohttp
import grpc

from bench import calls, content, servers
from bench.figure import Figure
from bench.statistics import percentile
from portus.registry.v1 import watch_pb2

_REPOSITORIES: Final = 50
_PUSHES: Final = 200
# Between two pushes, in seconds.
_PAUSE: Final = 0.02
_LONGEST_WAIT: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Push:
    """When the registry showed a pushed tag, and when a watcher knew, in seconds since its notification was made."""

    shown: float
    told: float


async def measure(folder: Path, rounds: int, _: float) -> list[Figure]:
    """Each push moves one tag of one of 50 repositories. The registry writes the tag before it answers the push."""
    storage = folder / "registry/storage"
    names = [f"team/app-{number}" for number in range(_REPOSITORIES)]
    configuration = ""
    for name in names:
        configuration = content.put_blob(storage, name, 100)
        content.put_image(storage, name, ["latest"], content.image(name))
    receiver = servers.free_address()
    token_file = servers.token_file(folder / "notifications", "notification")
    notified = servers.Notified(f"http://{receiver}/notifications", "notification")
    async with (
        servers.registry(folder / "registry", notified) as registry,
        servers.gateway(
            folder / "gateway",
            registry.address,
            PORTUS_INDEX=f"sqlite://{folder}/index.db",
            PORTUS_NOTIFICATIONS_LISTEN=receiver,
            PORTUS_NOTIFICATIONS_TOKEN_FILE=str(token_file),
        ) as gateway,
    ):
        await calls.index_ready(gateway)
        await _pushed(registry, gateway, names, configuration, 0)
        pushes = [await _pushed(registry, gateway, names, configuration, number) for number in range(1, rounds + 1)]
    told = {share: [percentile([push.told for push in made], share) for made in pushes] for share in (0.5, 0.99)}
    shown = {share: [percentile([push.shown for push in made], share) for made in pushes] for share in (0.5, 0.99)}
    return [
        Figure(
            name=f"a push until WatchEvents tells it, p{round(share * 100)}",
            runs=[seconds * 1000 for seconds in told[share]],
            unit="ms after its notification was made",
            against=f"the tag itself: the registry shows it after {median(shown[share]) * 1000:.0f} ms",
            measured=f"{median(told[share]) * 1000:.0f} ms, {_PUSHES} pushes in each round",
            raw={"told": told[share], "shown": shown[share]},
        )
        for share in (0.5, 0.99)
    ]


async def _pushed(
    registry: servers.Server, gateway: servers.Server, names: list[str], configuration: str, turn: int
) -> list[_Push]:
    told: dict[str, tuple[float, float]] = {}
    shown: dict[str, float] = {}
    begun, complete = asyncio.Event(), asyncio.Event()
    watching = asyncio.create_task(_watched(gateway, told, begun, complete))
    try:
        await begun.wait()
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            for number in range(_PUSHES):
                manifest = _manifest(configuration, f"{turn} {number}")
                url = f"http://{registry.address}/v2/{names[number % len(names)]}/manifests/latest"
                headers = {"Content-Type": content.MANIFEST_TYPE}
                async with session.put(url, data=manifest, headers=headers) as answer:
                    shown[answer.headers["Docker-Content-Digest"]] = time.time()
                await asyncio.sleep(_PAUSE)
        async with asyncio.timeout(_LONGEST_WAIT):
            await complete.wait()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return [_Push(shown[digest] - notified, at - notified) for digest, (notified, at) in told.items()]


async def _watched(
    gateway: servers.Server, told: dict[str, tuple[float, float]], begun: asyncio.Event, complete: asyncio.Event
) -> None:
    """Notes for each digest when its notification was made, and when its event came."""
    async with calls.channel(gateway) as channel:
        stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(calls.WATCH_EVENTS)
        request = watch_pb2.WatchEventsRequest().SerializeToString()
        async for message in stream(request, metadata=calls.metadata(gateway)):
            now = time.time()
            begun.set()
            for event in watch_pb2.WatchEventsResponse.FromString(message).events:
                if event.HasField("notified_time"):
                    told[event.digest] = event.notified_time.ToNanoseconds() / 1e9, now
            if len(told) == _PUSHES:
                complete.set()


def _manifest(configuration: str, mark: str) -> bytes:
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": configuration, "size": 100}
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": content.MANIFEST_TYPE,
            "config": config,
            "layers": [],
            "annotations": {"mark": mark},
        }
    ).encode()
