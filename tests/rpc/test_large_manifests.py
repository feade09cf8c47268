"""A manifest that anybody may push must not keep other calls waiting, whatever is in it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from portus.registry.v1.manifest_pb2 import Manifest
from portus.registry.v1.registry_service_pb2 import BatchGetManifestsRequest, DeleteManifestRequest, GetManifestRequest
from portus_gateway.devregistry import DevRegistry, raw_manifest
from portus_gateway.distribution.manifest import OCI_INDEX, OCI_MANIFEST
from portus_gateway.distribution.manifest_fields import MOST_ENTRIES
from tests.rpc.failures import read
from tests.rpc.gateways import Gateway

CONFIG = f"sha256:{'c' * 64}"
LONGEST_STALL = 0.5
"""Seconds of work between two turns of the event loop. Without bounds and threads it is some seconds."""

REQUEST = GetManifestRequest(repository="team/app", tag="1.0")


def annotated(count: int) -> bytes:
    return json.dumps({"annotations": {f"{number:05}": "" for number in range(count)}}, separators=(",", ":")).encode()


def children(count: int) -> bytes:
    child = {"mediaType": OCI_MANIFEST, "digest": CONFIG, "size": 1, "platform": {"os": "linux", "architecture": "a"}}
    return json.dumps({"manifests": [child] * count}).encode()


class Stalls:
    """How much this process worked at most between two turns of the event loop, in seconds.

    That is not how long a turn took: other processes on this machine do not count.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self._ended = asyncio.Event()

    async def measure(self) -> None:
        last = time.process_time()
        while not self._ended.is_set():
            await asyncio.sleep(0)
            now = time.process_time()
            self.longest = max(self.longest, now - last)
            last = now

    def end(self) -> None:
        self._ended.set()


@asynccontextmanager
async def measured() -> AsyncIterator[Stalls]:
    stalls = Stalls()
    measuring = asyncio.create_task(stalls.measure())
    try:
        yield stalls
    finally:
        stalls.end()
        await measuring


async def got(gateway: Gateway) -> Manifest:
    return (await gateway.stub.GetManifest(REQUEST, timeout=60)).manifest


async def got_in_a_batch(gateway: Gateway) -> Manifest:
    call = gateway.stub.BatchGetManifests(BatchGetManifestsRequest(requests=[REQUEST]), timeout=60)
    (result,) = [result async for response in call for result in response.results]
    return result.manifest


@pytest.mark.parametrize("ask", [got, got_in_a_batch])
@pytest.mark.parametrize(
    ("raw", "media_type", "shown"),
    [
        (annotated(350_000), OCI_MANIFEST, False),
        (annotated(MOST_ENTRIES), OCI_MANIFEST, True),
        (children(MOST_ENTRIES), OCI_INDEX, True),
        (children(20_000), OCI_INDEX, False),
    ],
    ids=["350,000 annotations", "most annotations", "most children", "too many children"],
)
async def test_a_large_manifest_does_not_stall_the_event_loop(
    registry: DevRegistry,
    gateway: Gateway,
    ask: Callable[[Gateway], Awaitable[Manifest]],
    raw: bytes,
    media_type: str,
    shown: bool,
) -> None:
    assert len(raw) < 4 * 2**20
    registry.push("team/app", "1.0", content=raw_manifest(raw, media_type))
    async with measured() as stalls:
        answer = await ask(gateway)
    assert stalls.longest < LONGEST_STALL
    assert answer.raw == raw
    if shown:
        assert not answer.HasField("content_status")
        assert len(answer.image.annotations) + len(answer.index.manifests) == MOST_ENTRIES
    else:
        assert answer.WhichOneof("content") is None
        assert read(answer.content_status).reason == "CONTENT_TOO_LARGE"


async def test_a_large_manifest_beside_the_one_to_delete_does_not_stall_the_event_loop(
    registry: DevRegistry, gateway: Gateway
) -> None:
    """The search for dependents has to look into what may be an index."""
    members = ",".join(f'"{number:x}":1' for number in range(420_000))
    registry.push("team/app", "large", content=raw_manifest(f"{{{members}}}".encode(), "application/vnd.example"))
    digest = registry.push("team/app", "1.0")
    request = DeleteManifestRequest(repository="team/app", digest=digest, expected_tags=["1.0"], validate_only=True)
    async with measured() as stalls:
        await gateway.stub.DeleteManifest(request, timeout=60)
    assert stalls.longest < 0.25
