"""How many requests a registry gets at a time: as many as it bears."""

import asyncio
import time

import pytest
from aiohttp import web

from portus_gateway.aio import fair_share
from portus_gateway.distribution import Repository, RetryPolicy
from portus_gateway.distribution.adaptive_limit import AdaptiveLimit
from tests.distribution.clients import client
from tests.distribution.upstream import Upstream, answer

PAGE = '{"tags": ["v1"]}'


async def test_an_overloaded_registry_gets_fewer_requests_until_it_recovers(
    upstream: Upstream,
) -> None:
    running = most = 0
    bears = 2

    async def easily_overloaded(_: web.Request) -> web.StreamResponse:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await asyncio.sleep(0.002)
            return answer(200, PAGE) if running <= bears else answer(429)
        finally:
            running -= 1

    upstream.script(easily_overloaded)
    patient = RetryPolicy(attempts=10, first_delay=0.01, longest_delay=0.1)
    async with client(upstream.url, retries=patient, concurrency=16) as registry:

        async def read(count: int) -> None:
            await asyncio.gather(*(registry.list_tags(Repository(f"team/app-{n}"), 10) for n in range(count)))

        await read(40)
        assert most > 8
        most = 0
        await read(40)
        assert most <= 8
        bears = 100
        await read(200)
        most = 0
        await read(40)
        assert most > 8


async def test_one_bad_moment_counts_once() -> None:
    limit = AdaptiveLimit(16)
    started = time.monotonic()
    for _ in range(10):
        limit.overloaded(started)
    assert limit.limit == 8
    for _ in range(10):
        limit.overloaded(time.monotonic())
    assert limit.limit == 1


async def test_slots_are_given_in_order_and_none_is_lost_to_those_who_leave() -> None:
    limit = AdaptiveLimit(1)
    await limit.acquire()
    order: list[int] = []

    async def take(number: int) -> None:
        await limit.acquire()
        order.append(number)
        limit.release()

    waiting = [asyncio.ensure_future(take(number)) for number in range(4)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    limit.release()
    # The slot is given to the second in this very moment; it leaves before it can take it.
    waiting[1].cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting, return_exceptions=True)
    assert order == [2, 3]
    async with asyncio.timeout(5):
        await limit.acquire()


async def test_the_slot_of_a_block_is_given_back_also_after_an_error() -> None:
    limit = AdaptiveLimit(1)
    with pytest.raises(ValueError, match="oh"):
        async with limit:
            other = asyncio.ensure_future(limit.acquire())
            await asyncio.sleep(0)
            assert not other.done()
            raise ValueError("oh")
    async with asyncio.timeout(5):
        await other


async def test_an_owner_with_many_requests_keeps_another_one_waiting_for_one_of_them(upstream: Upstream) -> None:
    async def slowly(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.002)
        return answer(200, PAGE)

    upstream.script(slowly)
    async with client(upstream.url, concurrency=2) as registry:

        async def asks(name: str, count: int) -> None:
            fair_share.work_for(name)
            await asyncio.gather(*(registry.list_tags(Repository(f"{name}/app-{n}"), 10) for n in range(count)))

        flood = asyncio.create_task(asks("many", 100))
        while not upstream.requests:
            await asyncio.sleep(0)
        before = len(upstream.requests)
        await asyncio.create_task(asks("few", 1))
        targets = [seen.path for seen in upstream.requests]
        assert targets.index("/v2/few/app-0/tags/list") - before < 10
        await flood
    assert len(upstream.requests) == 101


@pytest.mark.parametrize("most", [1, 3])
async def test_there_is_always_a_slot_left(most: int) -> None:
    limit = AdaptiveLimit(most)
    for _ in range(10):
        await asyncio.sleep(0.001)
        limit.overloaded(time.monotonic())
    assert limit.limit == 1
