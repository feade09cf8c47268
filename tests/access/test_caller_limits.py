"""What one caller may use up."""

import pytest

from portus_gateway.access.caller import Caller
from portus_gateway.access.caller_limits import CallerLimits
from portus_gateway.access.errors import CallerConcurrencyExceeded, CallerRateExceeded
from tests.access.policies import ROOT, A


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def call(limits: CallerLimits, caller: Caller = A) -> None:
    limits.enter(caller)
    limits.leave(caller)


def test_a_caller_has_a_burst_and_then_its_rate(clock: Clock) -> None:
    limits = CallerLimits(rate=2, burst=3, clock=clock)
    for _ in range(3):
        call(limits)
    with pytest.raises(CallerRateExceeded, match="token:a calls more often than 2 times a second") as caught:
        call(limits)
    assert caught.value.retry_after == pytest.approx(0.5)
    clock.now += 0.5
    call(limits)
    with pytest.raises(CallerRateExceeded):
        call(limits)
    # However long it pauses, it has no more than its burst.
    clock.now += 3600
    for _ in range(3):
        call(limits)
    with pytest.raises(CallerRateExceeded):
        call(limits)


@pytest.mark.parametrize(("rate", "burst"), [(5.0, 5), (0.5, 1)])
def test_without_a_burst_a_caller_may_make_the_calls_of_a_second_at_once(clock: Clock, rate: float, burst: int) -> None:
    limits = CallerLimits(rate=rate, clock=clock)
    for _ in range(burst):
        call(limits)
    with pytest.raises(CallerRateExceeded):
        call(limits)


def test_the_retry_delay_ends_when_the_next_call_is_allowed(clock: Clock) -> None:
    limits = CallerLimits(rate=2, burst=1, clock=clock)
    call(limits)
    clock.now += 0.125
    with pytest.raises(CallerRateExceeded) as caught:
        call(limits)
    assert caught.value.retry_after == pytest.approx(0.375)


def test_the_caller_that_has_been_idle_for_longest_is_forgotten(clock: Clock) -> None:
    limits = CallerLimits(rate=1, burst=1, remembered=2, clock=clock)
    call(limits)
    call(limits, ROOT)
    for other in ("b", "c"):
        with pytest.raises(CallerRateExceeded):
            call(limits)
        call(limits, Caller.known_as("token", [f"token:{other}"]))


def test_callers_do_not_share(clock: Clock) -> None:
    limits = CallerLimits(rate=1, burst=1, concurrency=1, clock=clock)
    limits.enter(A)
    limits.enter(ROOT)
    limits.leave(A)
    limits.leave(ROOT)


def test_calls_at_a_time_are_counted(clock: Clock) -> None:
    limits = CallerLimits(rate=None, concurrency=2, clock=clock)
    limits.enter(A)
    limits.enter(A)
    with pytest.raises(CallerConcurrencyExceeded, match="token:a has 2 calls running") as caught:
        limits.enter(A)
    assert caught.value.retry_after == 1
    limits.leave(A)
    limits.enter(A)


def test_a_call_that_is_refused_uses_nothing_up(clock: Clock) -> None:
    limits = CallerLimits(rate=1, burst=2, concurrency=1, clock=clock)
    limits.enter(A)
    for _ in range(10):
        with pytest.raises(CallerConcurrencyExceeded):
            limits.enter(A)
    limits.leave(A)
    limits.enter(A)


def test_memory_is_bounded_and_running_calls_are_never_forgotten(clock: Clock) -> None:
    limits = CallerLimits(rate=1, burst=1, concurrency=1, remembered=10, clock=clock)
    limits.enter(A)
    for number in range(1000):
        call(limits, Caller.known_as("token", [f"token:{number}"]))
    assert len(limits._accounts) == 10
    with pytest.raises(CallerConcurrencyExceeded):
        limits.enter(A)
    # The latest is still remembered to have used up its burst.
    with pytest.raises(CallerRateExceeded):
        call(limits, Caller.known_as("token", ["token:999"]))


def test_more_running_callers_than_are_remembered_are_all_counted(clock: Clock) -> None:
    limits = CallerLimits(rate=None, concurrency=1, remembered=2, clock=clock)
    callers = [Caller.known_as("token", [f"token:{number}"]) for number in range(5)]
    for caller in callers:
        limits.enter(caller)
    for caller in callers:
        with pytest.raises(CallerConcurrencyExceeded):
            limits.enter(caller)
    for caller in callers:
        limits.leave(caller)


def test_limits_that_allow_no_call_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 0"):
        CallerLimits(rate=0)
    with pytest.raises(ValueError, match="running calls must be at least 1"):
        CallerLimits(rate=None, concurrency=0)
    with pytest.raises(ValueError, match="burst must be at least 1 call"):
        CallerLimits(rate=1, burst=0)


def test_a_caller_may_have_as_many_watches_as_calls_and_neither_takes_a_place_of_the_other() -> None:
    limits = CallerLimits(rate=None, concurrency=2)
    for watching in (False, True):
        for _ in range(2):
            limits.enter(A, watching=watching)
    for _ in range(2):
        with pytest.raises(CallerConcurrencyExceeded, match="token:a has 2 watches running, as many as it may"):
            limits.enter(A, watching=True)
        with pytest.raises(CallerConcurrencyExceeded, match="token:a has 2 calls running, as many as it may"):
            limits.enter(A)
        limits.leave(A, watching=True)
        limits.enter(A, watching=True)
