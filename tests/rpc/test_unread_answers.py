"""How much memory answers may take that nobody has read yet."""

import asyncio

import pytest

from portus_gateway.rpc.call_errors import TooManyUnreadAnswers
from portus_gateway.rpc.unread_answers import UnreadAnswers

# Each answer counts twice: what is Python's, and gRPC's copy of it.
LIMIT = 800


async def until_idle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def refused(unread: UnreadAnswers, owner: str) -> None:
    """One more answer of this owner may not even wait."""
    with pytest.raises(TooManyUnreadAnswers):
        await asyncio.wait_for(unread.wait(owner, 1), 1)


async def test_an_owner_has_a_quarter_and_gets_it_back() -> None:
    unread = UnreadAnswers(LIMIT)
    assert unread.take("a", 60)
    assert unread.take("a", 40)
    assert not unread.take("a", 1)
    assert unread.take("b", 100)
    unread.give_back("a", 40)
    assert not unread.take("a", 41)
    assert unread.take("a", 40)
    unread.give_back("a", 60)
    unread.give_back("a", 40)
    # With nothing of its own, one answer may be larger than the share.
    assert unread.take("a", 101)


async def test_all_together_have_the_limit() -> None:
    unread = UnreadAnswers(LIMIT)
    assert all(unread.take(owner, 100) for owner in "abcd")
    assert not unread.take("e", 1)
    unread.give_back("a", 100)
    assert unread.take("e", 1)


async def test_the_first_answer_of_an_owner_may_be_larger_than_its_share() -> None:
    unread = UnreadAnswers(LIMIT)
    assert unread.take("a", 300)
    assert not unread.take("a", 1)
    # But not than what is left for all.
    assert not unread.take("b", 101)
    unread.give_back("a", 300)
    # Where there is nothing else, even that.
    assert unread.take("b", 1000)


async def test_what_waits_is_let_in_when_it_fits_and_in_order() -> None:
    unread = UnreadAnswers(LIMIT)
    unread.take("a", 100)
    waiting = {number: asyncio.ensure_future(unread.wait("a", 60)) for number in range(3)}
    other = asyncio.ensure_future(unread.wait("b", 60))
    await until_idle()
    assert other.done()
    assert [waiting[number].done() for number in range(3)] == [False, False, False]
    for number in range(3):
        unread.give_back("a", 100 if number == 0 else 60)
        await until_idle()
        assert [waiting[which].done() for which in range(3)] == [which <= number for which in range(3)]


async def test_a_call_that_stops_waiting_takes_no_memory() -> None:
    unread = UnreadAnswers(LIMIT)
    unread.take("a", 100)
    waiting = asyncio.ensure_future(unread.wait("a", 100))
    await until_idle()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    unread.give_back("a", 100)
    assert unread.take("a", 100)


async def test_memory_that_is_granted_and_cancelled_at_once_is_free() -> None:
    unread = UnreadAnswers(LIMIT)
    unread.take("a", 100)
    waiting = asyncio.ensure_future(unread.wait("a", 100))
    await until_idle()
    unread.give_back("a", 100)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert unread.take("a", 100)


async def test_no_more_waits_than_may_be_unread() -> None:
    unread = UnreadAnswers(LIMIT)
    unread.take("a", 100)
    unread.take("b", 100)
    unread.take("c", 100)
    unread.take("d", 100)
    waiting = [asyncio.ensure_future(unread.wait(owner, 100)) for owner in "abcd"]
    await until_idle()
    for owner in "ae":
        await refused(unread, owner)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_an_owner_whose_answers_wait_leaves_room_for_others() -> None:
    unread = UnreadAnswers(LIMIT)
    unread.take("a", 100)
    unread.take("b", 100)
    waiting = [asyncio.ensure_future(unread.wait("a", 100)) for _ in range(3)]
    await until_idle()
    await refused(unread, "a")
    waiting += [asyncio.ensure_future(unread.wait("b", 50)) for _ in range(2)]
    await until_idle()
    assert not any(one.done() for one in waiting)
    await refused(unread, "b")
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


def test_the_error_says_whose_answers_they_are() -> None:
    unread = UnreadAnswers(64 * 1024 * 1024)
    unread.take("a", 4 * 1024 * 1024)
    assert "answers of 8.0 MiB to this caller have not been read" in str(unread.error("a"))
    assert "other callers do not read" in str(unread.error("b"))


async def test_an_answer_larger_than_the_limit_waits_if_no_other_does() -> None:
    unread = UnreadAnswers(LIMIT)
    unread.take("a", 100)
    waiting = asyncio.ensure_future(unread.wait("b", LIMIT))
    await until_idle()
    assert not waiting.done()
    unread.give_back("a", 100)
    await asyncio.wait_for(waiting, 1)


async def test_an_owner_of_whose_answers_a_quarter_waits_has_none_of_the_last_room() -> None:
    unread = UnreadAnswers(LIMIT)
    for owner in "ab":
        unread.take(owner, 100)
    waiting = [asyncio.ensure_future(unread.wait(owner, 50)) for owner in "aaaabb"]
    await until_idle()
    await refused(unread, "b")
    waiting.append(asyncio.ensure_future(unread.wait("a", 1)))
    await until_idle()
    # It has more than a quarter, and was refused too.
    assert isinstance(waiting.pop().exception(), TooManyUnreadAnswers)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert all(one.cancelled() for one in waiting)
    # Those who left do not count.
    waiting = [asyncio.ensure_future(unread.wait(owner, size)) for owner, size in (*[("a", 100)] * 3, ("b", 50))]
    await until_idle()
    assert not any(one.done() for one in waiting)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_those_who_got_their_turn_do_not_wait_any_more() -> None:
    unread = UnreadAnswers(LIMIT)
    unread.take("a", 100)
    for _ in range(20):
        waiting = asyncio.ensure_future(unread.wait("a", 100))
        await until_idle()
        unread.give_back("a", 100)
        await asyncio.wait_for(waiting, 1)
    assert not unread.take("a", 1)
    # As many may wait as at first.
    waits = [asyncio.ensure_future(unread.wait("a", 100)) for _ in range(3)]
    await until_idle()
    assert not any(one.done() for one in waits)
    await refused(unread, "a")
    for one in waits:
        one.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    unread.give_back("a", 100)
    assert unread.take("a", 100)


async def test_memory_that_is_free_just_after_a_wait_was_cancelled_goes_to_the_next() -> None:
    unread = UnreadAnswers(LIMIT)
    unread.take("a", 100)
    leaving, staying = (asyncio.ensure_future(unread.wait("a", 100)) for _ in range(2))
    await until_idle()
    leaving.cancel()
    unread.give_back("a", 100)
    await asyncio.wait_for(staying, 1)
    assert leaving.cancelled()
