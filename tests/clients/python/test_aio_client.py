"""What only the asyncio client has: cancelling and stopping early."""

import asyncio
from contextlib import aclosing

import pytest

from portus_client import AsyncRegistryClient
from tests.clients.python.gateway import Gateway


async def test_stopping_a_listing_early_cancels_the_call(gateway: Gateway) -> None:
    gateway.silent.add("StreamCatalog")
    async with AsyncRegistryClient(gateway.address) as client:
        async with aclosing(client.catalog()) as listing:
            async for repository in listing:
                assert repository.name == "empty"
                break
        assert await asyncio.to_thread(gateway.listing_ended.wait, 10)


async def test_cancelling_the_task_cancels_the_call(gateway: Gateway) -> None:
    gateway.silent.add("StreamCatalog")
    listed = asyncio.Event()
    async with AsyncRegistryClient(gateway.address) as client:

        async def list_all() -> None:
            async for _ in client.catalog():
                listed.set()

        task = asyncio.create_task(list_all())
        await listed.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(gateway.listing_ended.wait, 10)


async def test_calls_run_side_by_side(gateway: Gateway) -> None:
    async with AsyncRegistryClient(gateway.address) as client:
        answers = await asyncio.gather(*(client.resolve("team/app", "1.0") for _ in range(20)))
    assert len({answer.digest for answer in answers}) == 1
