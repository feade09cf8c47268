"""What looks after the calls of a server."""

import asyncio
import time
from collections.abc import Collection, MutableMapping

import pytest

from portus_gateway.access.current_call import Call, current_call, current_request_id
from portus_gateway.errors import GatewayError
from portus_gateway.rpc import serving as serving_module
from portus_gateway.rpc.call_limit import CallLimit
from portus_gateway.rpc.limits import ServerLimits
from portus_gateway.rpc.serving import Serving
from portus_gateway.rpc.unread_answers import UnreadAnswers
from portus_gateway.telemetry.call_observers import CallObservers
from tests.rpc.gateways import soon

PEER = "ipv4:127.0.0.1:1"


class RunningCall:
    """Notes when it was looked at, and which call was the current one then."""

    is_answered = False

    def __init__(self, *, is_limited: bool = True, unread: bool = False, peer: str = PEER) -> None:
        self.is_limited = is_limited
        self.unread = unread
        self.peer = peer
        self.ended: list[GatewayError] = []
        self.checks: list[float] = []
        self.caller_checks: list[float] = []
        self.caller_is_known = asyncio.Event()
        self.caller_is_known.set()
        self.problem: Exception | None = None
        self.current = "nothing"
        self._checked = asyncio.Event()

    def end(self, error: GatewayError) -> None:
        self.ended.append(error)

    def check(self, now: float) -> None:
        self.current = current_request_id()
        self.checks.append(now)
        self._checked.set()

    async def check_caller(self) -> None:
        self.caller_checks.append(time.perf_counter())
        await self.caller_is_known.wait()
        if self.problem is not None:
            raise self.problem

    def is_unread(self, now: float) -> bool:
        return self.unread

    async def checked(self, times: int) -> None:
        while len(self.checks) < times:
            self._checked.clear()
            await soon(self._checked.wait())


def looking_each(seconds: float) -> Serving:
    """It looks at its calls four times in the longest duration of a call, and at least once a second."""
    limits = ServerLimits(max_call_duration=4 * seconds)
    return Serving(limits, CallLimit(1), CallObservers(), UnreadAnswers(1024), (), ports=(7,))


async def test_what_is_logged_about_late_calls_has_no_other_calls_id() -> None:
    serving, running = looking_each(0.01), RunningCall()
    current_call.set(Call(None, "the-first-call"))
    serving.begin(running)
    await running.checked(1)
    assert running.current == ""


async def test_calls_are_looked_at_each_second_if_they_may_take_long() -> None:
    serving, running = looking_each(900), RunningCall()
    serving.begin(running)
    await running.checked(1)


async def test_many_calls_are_looked_at_no_more_often_than_one() -> None:
    serving, calls = looking_each(0.02), [RunningCall() for _ in range(50)]
    begun = time.perf_counter()
    for running in calls:
        serving.begin(running)
    await calls[0].checked(4)
    assert time.perf_counter() - begun >= 0.06
    assert len({len(running.checks) for running in calls}) == 1


async def test_nothing_is_looked_at_while_there_is_no_call() -> None:
    serving, first, second = looking_each(0.01), RunningCall(), RunningCall()
    serving.begin(first)
    await first.checked(2)
    serving.calls.discard(first)
    while serving._check_is_due:
        await asyncio.sleep(0.01)
    serving.begin(second)
    await second.checked(2)
    assert len(first.checks) == 2


async def test_callers_are_checked_every_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_module, "_CALLER_INTERVAL", 0.05)
    serving, running = looking_each(0.01), RunningCall()
    begun = time.perf_counter()
    serving.begin(running)
    while len(running.caller_checks) < 4:
        await running.checked(len(running.checks) + 1)
    assert running.caller_checks[3] - begun >= 0.15


async def test_the_callers_of_many_streams_are_checked_soon() -> None:
    async def all_checked() -> None:
        while not all(running.caller_checks for running in calls):
            await calls[0].checked(len(calls[0].checks) + 1)

    serving, calls = looking_each(0.01), [RunningCall() for _ in range(50)]
    for running in calls:
        serving.begin(running)
    await soon(all_checked())


async def test_a_caller_who_takes_long_to_check_is_not_checked_twice_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving_module, "_CALLER_INTERVAL", 0.01)
    serving, running = looking_each(0.01), RunningCall()
    running.caller_is_known.clear()
    serving.begin(running)
    await running.checked(10)
    assert len(running.caller_checks) == 1
    running.caller_is_known.set()
    while len(running.caller_checks) < 2:
        await running.checked(len(running.checks) + 1)


async def test_a_caller_who_cannot_be_checked_keeps_no_other_from_it(
    monkeypatch: pytest.MonkeyPatch, logs: list[MutableMapping[str, object]]
) -> None:
    monkeypatch.setattr(serving_module, "_CALLER_INTERVAL", 0.01)
    serving, broken, well = looking_each(0.01), RunningCall(), RunningCall()
    broken.problem = ValueError("a bug")
    serving.begin(broken)
    serving.begin(well)
    while len(broken.caller_checks) < 2 or len(well.caller_checks) < 2:
        await well.checked(len(well.checks) + 1)
    assert logs[0]["event"] == "the caller of a stream could not be checked again"


async def test_the_connections_of_unread_answers_are_closed_and_no_others(
    monkeypatch: pytest.MonkeyPatch, logs: list[MutableMapping[str, object]]
) -> None:
    closed: list[tuple[Collection[str], Collection[int]]] = []

    def close(peers: Collection[str], ports: Collection[int]) -> int:
        closed.append((peers, ports))
        # The second time, the connection is not there any more.
        return 1 if len(closed) == 1 else 0

    monkeypatch.setattr(serving_module, "close_connections", close)
    serving, unread, read = looking_each(0.01), RunningCall(), RunningCall(peer="ipv4:127.0.0.1:2")
    serving.begin(unread)
    serving.begin(read)
    await read.checked(2)
    assert closed == []
    unread.unread = True
    while len(closed) < 2:
        await read.checked(len(read.checks) + 1)
    assert closed[:2] == [({PEER}, (7,))] * 2
    warning = {
        "log_level": "warning",
        "event": "a connection is closed, because its caller does not read its answers",
        "peer": PEER,
    }
    error = {"log_level": "error", "event": "no connection of these callers was found", "peers": [PEER]}
    assert logs[:3] == [warning, warning, error]


@pytest.mark.parametrize("limited", [True, False])
def test_the_calls_of_the_service_and_those_of_health_and_reflection_end_apart(limited: bool) -> None:
    serving = looking_each(1)
    ending, staying = RunningCall(is_limited=limited), RunningCall(is_limited=not limited)
    serving.calls.update((ending, staying))
    serving.shut_down(limited=limited)
    assert [error.reason for error in ending.ended] == ["SHUTTING_DOWN"]
    assert staying.ended == []
