"""The number of blobs that are read at the same time."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from portus_gateway.rpc.call_errors import TooManyDownloads
from portus_gateway.rpc.download_places import DownloadPlaces


async def holding(places: DownloadPlaces, owner: str) -> AsyncExitStack:
    stack = AsyncExitStack()
    async with asyncio.timeout(5):
        await stack.enter_async_context(places.taken(owner))
    return stack


async def test_an_owner_has_half_of_the_places_and_the_others_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DownloadPlaces, "patience", 0.05)
    places = DownloadPlaces(4)
    slow = [await holding(places, "slow") for _ in range(2)]
    with pytest.raises(TooManyDownloads, match="this caller reads 2 blobs"):
        await holding(places, "slow")
    others = [await holding(places, name) for name in ("b", "c")]
    with pytest.raises(TooManyDownloads, match="limit of 4 blobs"):
        await holding(places, "d")
    for stack in (*slow, *others):
        await stack.aclose()
    # None of the places got lost.
    for name in ("a", "a", "b", "b"):
        await holding(places, name)


async def test_one_place_is_enough_for_one_owner() -> None:
    places = DownloadPlaces(1)
    async with places.taken("a"):
        pass
    async with places.taken("a"):
        pass


async def test_who_waits_longest_comes_first_unless_its_owner_has_enough() -> None:
    places = DownloadPlaces(2)
    first_a, first_b = await holding(places, "a"), await holding(places, "b")
    second_a = asyncio.ensure_future(holding(places, "a"))
    third_a = asyncio.ensure_future(holding(places, "a"))
    second_b = asyncio.ensure_future(holding(places, "b"))
    await asyncio.sleep(0)
    await first_b.aclose()
    await asyncio.wait_for(second_b, 5)
    assert not second_a.done()
    await first_a.aclose()
    await asyncio.wait_for(second_a, 5)
    assert not third_a.done()
    third_a.cancel()


async def test_who_stops_waiting_takes_no_place() -> None:
    places = DownloadPlaces(2)
    first = await holding(places, "a")
    gone = asyncio.ensure_future(holding(places, "a"))
    waiting = asyncio.ensure_future(holding(places, "a"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    await first.aclose()
    await asyncio.wait_for(waiting, 5)


async def test_who_is_cancelled_in_the_moment_of_its_turn_gives_the_place_back() -> None:
    places = DownloadPlaces(2)
    first = await holding(places, "a")
    gone = asyncio.ensure_future(holding(places, "a"))
    await asyncio.sleep(0)
    await first.aclose()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    await holding(places, "a")
