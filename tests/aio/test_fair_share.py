"""Queues in which nobody waits for all that another one has put there."""

import asyncio
from contextvars import copy_context

from portus_gateway.aio import fair_share
from portus_gateway.aio.fair_share import FairQueue


def turns(count: int) -> "list[asyncio.Future[None]]":
    return [asyncio.get_running_loop().create_future() for _ in range(count)]


async def test_owners_take_turns_and_each_keeps_its_order() -> None:
    queue = FairQueue()
    assert not queue
    many, few, one = turns(4), turns(2), turns(1)
    for turn in many:
        queue.append("many", turn)
    for turn in few:
        queue.append("few", turn)
    queue.append("one", *one)
    order = []
    while queue:
        order.append(queue.popleft())
    assert order == [many[0], few[0], one[0], many[1], few[1], many[2], many[3]]


async def test_who_leaves_keeps_nobody_waiting() -> None:
    queue = FairQueue()
    first, second = turns(2)
    queue.append("a", first)
    queue.append("a", second)
    queue.remove("a", first)
    # It may have got its turn already.
    queue.remove("a", first)
    queue.remove("b", first)
    assert queue.popleft() is second
    assert not queue
    queue.append("a", first)
    queue.remove("a", first)
    assert not queue


def test_work_belongs_to_who_began_it() -> None:
    def begin(name: str) -> str:
        fair_share.work_for(name)
        return copy_context().run(fair_share.owner)

    assert fair_share.owner() == ""
    assert copy_context().run(begin, "a") == "a"
    assert fair_share.owner() == ""
