import asyncio
from collections.abc import AsyncIterator

import pytest

from portus_gateway.aio import spans
from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.aio.single_flight import SingleFlight
from tests.recorded_spans import RecordedSpan


@pytest.fixture
async def flights() -> AsyncIterator[SingleFlight[str, str]]:
    flights: SingleFlight[str, str] = SingleFlight("read")
    yield flights
    await flights.close()


async def in_call(call: RecordedSpan, flights: SingleFlight[str, str], ended: "asyncio.Future[str]") -> str:
    """The result of a shared run, as a part of `call`."""

    async def work() -> str:
        with spans.step("request", "client"):
            return await asyncio.shield(ended)

    spans.work_in(call)
    return await flights.run("key", work)


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_without_a_span_a_step_does_nothing() -> None:
    with spans.step("wait") as span:
        assert span is None
    assert spans.current() is None
    assert spans.trace_id() == ""
    assert spans.begun("wait") is None


def test_steps_are_nested_and_the_one_before_is_current_again() -> None:
    call = RecordedSpan()
    with spans.Step(call):
        with spans.step("outer", attributes={"a": 1}), spans.step("inner", "client"):
            assert spans.trace_id() == call.trace_id
        assert spans.current() is call
    assert spans.current() is None
    assert call.tree == ["outer", ["inner"]]
    assert call.children[0].attributes == {"a": 1}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DeadlineExceeded("late"), "DEADLINE_EXCEEDED"),
        (asyncio.CancelledError(), "cancelled"),
        (ValueError("x"), "ValueError"),
    ],
)
def test_a_step_says_the_kind_of_its_failure_and_not_its_text(error: BaseException, kind: str) -> None:
    call = RecordedSpan()
    with pytest.raises(type(error)), spans.Step(call), spans.step("wait"):
        raise error
    assert [child.error for child in call.children] == [kind]


async def test_shared_work_is_in_the_trace_of_its_first_caller_and_others_link_to_it(
    flights: SingleFlight[str, str],
) -> None:
    first, second = RecordedSpan("first"), RecordedSpan("second")
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    waiting = [asyncio.create_task(in_call(call, flights, ended)) for call in (first, second)]
    await turns()
    ended.set_result("answer")
    assert await asyncio.gather(*waiting) == ["answer", "answer"]
    await turns()
    assert first.tree == ["read", ["request"]]
    assert second.tree == ["wait for read"]
    assert second.children[0].links == [first.children[0]]


async def test_the_wait_for_the_run_before_is_a_step_of_its_own(flights: SingleFlight[str, str]) -> None:
    first, second = RecordedSpan("first"), RecordedSpan("second")
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(in_call(first, flights, ended))
    await turns()
    later = asyncio.create_task(in_call(second, flights, ended))
    await turns()
    (read,) = second.children
    assert [(child.name, child.ended) for child in read.children] == [("wait for running read", False)]
    ended.set_result("answer")
    await asyncio.gather(running, later)
    await turns()
    assert second.tree == ["read", ["wait for running read", "request"]]
    assert not second.children[0].links


async def test_a_run_that_everybody_left_ends_as_cancelled(flights: SingleFlight[str, str]) -> None:
    first, second = RecordedSpan("first"), RecordedSpan("second")
    never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    calls = []
    for call in (first, second):
        calls.append(asyncio.create_task(in_call(call, flights, never)))
        await turns()
    for task in reversed(calls):
        task.cancel()
        await turns()
    for call in (first, second):
        assert [(child.name, child.ended, child.error) for child in call.children] == [("read", True, "cancelled")]
    assert second.children[0].children[0].error == "cancelled"


async def test_at_the_end_no_span_is_left_open() -> None:
    flights: SingleFlight[str, str] = SingleFlight("read")
    first, second = RecordedSpan("first"), RecordedSpan("second")
    never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    calls = []
    for call in (first, second):
        calls.append(asyncio.create_task(in_call(call, flights, never)))
        await turns()
    await flights.close()
    await asyncio.gather(*calls, return_exceptions=True)
    assert first.tree == ["read", ["request"]]
    assert second.tree == ["read", ["wait for running read"]]
    assert second.children[0].error == "SHUTTING_DOWN"


async def test_failed_work_says_why(flights: SingleFlight[str, str]) -> None:
    call = RecordedSpan()
    failing: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    failing.set_exception(DeadlineExceeded("late"))
    with pytest.raises(DeadlineExceeded):
        await in_call(call, flights, failing)
    await turns()
    assert call.children[0].error == "DEADLINE_EXCEEDED"
    spans.work_in(None)


async def test_work_of_an_untraced_caller_is_not_linked(flights: SingleFlight[str, str]) -> None:
    traced = RecordedSpan()
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def work() -> str:
        return await ended

    first = asyncio.create_task(flights.run("key", work))
    second = asyncio.create_task(in_call(traced, flights, ended))
    await turns()
    ended.set_result("answer")
    await asyncio.gather(first, second)
    assert traced.tree == ["wait for read"]
    assert traced.children[0].links == []
