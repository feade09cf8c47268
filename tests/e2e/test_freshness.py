"""An answer is never from before its call: what was pushed by then is in it, however many ask at the same time."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import (
    CatalogRequest,
    GetManifestRequest,
    ListTagsRequest,
    ResolveManifestRequest,
)
from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from portus_gateway import app
from portus_gateway.devregistry import DevRegistry, image
from portus_gateway.settings import load
from tests.delaying_proxy import delaying_proxy

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

CALLERS = 8
PUSHES = 40
ONE_WAY = 0.015
"""Seconds that the network to the registry takes."""


class Pushes:
    """Pushes one image after the other; each has a number."""

    def __init__(self, registry: DevRegistry) -> None:
        self._registry = registry
        self.numbers: dict[str, int] = {}
        """By digest."""
        self.acknowledged = 0

    def push(self) -> None:
        number = self.acknowledged + 1
        content = image(str(number))
        self.numbers[content.digest] = number
        self._registry.push("team/app", "latest", f"t{number:03}", content=content)
        self._registry.push(f"team/r{number:03}", "latest", content=content)
        self.acknowledged = number

    # Each answers with the number of the latest push that is in the gateway's answer.

    async def resolved(self, stub: "RegistryServiceAsyncStub") -> int:
        answer = await stub.ResolveManifest(ResolveManifestRequest(repository="team/app", tag="latest"))
        return self.numbers[answer.descriptor.digest]

    async def fetched(self, stub: "RegistryServiceAsyncStub") -> int:
        answer = await stub.GetManifest(GetManifestRequest(repository="team/app", tag="latest"))
        return self.numbers[answer.manifest.descriptor.digest]

    async def tags_listed(self, stub: "RegistryServiceAsyncStub") -> int:
        answer = await stub.ListTags(ListTagsRequest(repository="team/app", page_size=1000))
        return int(answer.tags[-1].removeprefix("t"))

    async def repositories_listed(self, stub: "RegistryServiceAsyncStub") -> int:
        answer = await stub.Catalog(CatalogRequest(prefix="team/r", page_size=1000))
        return int(answer.repositories[-1].name.removeprefix("team/r"))


@pytest.fixture
async def registry() -> AsyncIterator[DevRegistry]:
    async with DevRegistry() as running:
        yield running


@pytest.mark.parametrize("ask", [Pushes.resolved, Pushes.fetched, Pushes.tags_listed, Pushes.repositories_listed])
async def test_no_answer_is_older_than_the_last_push_before_its_call(
    registry: DevRegistry, ask: Callable[[Pushes, "RegistryServiceAsyncStub"], Awaitable[int]]
) -> None:
    pushes = Pushes(registry)
    pushes.push()
    chance = random.Random(1)
    old: list[tuple[int, int]] = []
    count = 0

    async def poll(stub: "RegistryServiceAsyncStub") -> None:
        nonlocal count
        while True:
            due = pushes.acknowledged
            seen = await ask(pushes, stub)
            count += 1
            if seen < due:
                old.append((seen, due))
            # So that the callers come one by one, while another one's request runs.
            await asyncio.sleep(chance.uniform(0, 4 * ONE_WAY))

    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(delaying_proxy(registry.url, ONE_WAY))
        settings = load(
            {
                "registry_url": url,
                "username": registry.username,
                "password": registry.password,
                "token_realm": registry.realm,
                "listen": "127.0.0.1:0",
                "audit_log": os.devnull,
            }
        )
        gateway = await stack.enter_async_context(app.running(settings))
        pollers = []
        for _ in range(CALLERS):
            channel = await stack.enter_async_context(
                grpc.aio.insecure_channel(str(gateway.address), [("grpc.use_local_subchannel_pool", 1)])
            )
            pollers.append(asyncio.create_task(poll(RegistryServiceStub(channel))))
        try:
            async with asyncio.timeout(60):
                while pushes.acknowledged < PUSHES or count < 5 * PUSHES:
                    # At any stage of the requests.
                    await asyncio.sleep(chance.uniform(0, 2 * ONE_WAY))
                    pushes.push()
        finally:
            for poller in pollers:
                poller.cancel()
            ended = await asyncio.gather(*pollers, return_exceptions=True)
    assert [error for error in ended if not isinstance(error, asyncio.CancelledError)] == []
    assert old == [], "answers that were older than the push before their call (seen, due)"
