"""Limits of each caller: calls per second, and calls at the same time."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from portus_gateway.access.caller import Caller
from portus_gateway.access.errors import CallerConcurrencyExceeded, CallerRateExceeded

# When a caller with too many running calls should try again, in seconds.
_CONCURRENCY_DELAY: Final = 1.0


@dataclass(slots=True)
class _Account:
    """What one caller has left: `tokens`, as of `counted`, and how many of its calls and of its watches run."""

    tokens: float
    counted: float
    running: int = 0
    watching: int = 0


class CallerLimits:
    """Each caller may make `rate` calls per second, `burst` at once after a pause, and have `concurrency` calls
    running, and as many watches besides. None means no limit. All anonymous callers count as one. Remembers at most
    `remembered` callers; those with running calls are never forgotten.
    """

    def __init__(
        self,
        *,
        rate: float | None,
        burst: int | None = None,
        concurrency: int | None = None,
        remembered: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if rate is not None and not rate > 0:
            raise ValueError("the rate must be more than 0 calls per second")
        if concurrency is not None and concurrency < 1:
            raise ValueError("the number of running calls must be at least 1")
        self._rate = rate
        self._burst = float(burst if burst is not None else max(1.0, rate or 1.0))
        if self._burst < 1:
            raise ValueError("the burst must be at least 1 call")
        self._concurrency = concurrency
        self._remembered = remembered
        self._clock = clock
        self._accounts: OrderedDict[str, _Account] = OrderedDict()

    def enter(self, caller: Caller, *, watching: bool = False) -> None:
        """Begins a call, which `leave` ends. Raises `CallerRateExceeded`, `CallerConcurrencyExceeded`."""
        account = self._account(caller.name)
        running = account.watching if watching else account.running
        if self._concurrency is not None and running >= self._concurrency:
            kind = "watches" if watching else "calls"
            raise CallerConcurrencyExceeded(
                f"{caller.name} has {running} {kind} running, as many as it may: wait for one to end",
                retry_after=_CONCURRENCY_DELAY,
            )
        self._take(account, caller)
        if watching:
            account.watching += 1
        else:
            account.running += 1

    def leave(self, caller: Caller, *, watching: bool = False) -> None:
        account = self._accounts[caller.name]
        if watching:
            account.watching -= 1
        else:
            account.running -= 1

    def _take(self, account: _Account, caller: Caller) -> None:
        if self._rate is None:
            return
        now = self._clock()
        account.tokens = min(self._burst, account.tokens + (now - account.counted) * self._rate)
        account.counted = now
        if account.tokens < 1:
            raise CallerRateExceeded(
                f"{caller.name} calls more often than {self._rate:g} times a second: slow down",
                retry_after=(1 - account.tokens) / self._rate,
            )
        account.tokens -= 1

    def _account(self, name: str) -> _Account:
        account = self._accounts.get(name)
        if account is not None:
            self._accounts.move_to_end(name)
            return account
        if len(self._accounts) >= self._remembered:
            self._forget_one()
        account = self._accounts[name] = _Account(self._burst, self._clock())
        return account

    def _forget_one(self) -> None:
        # The caller that has been idle for the longest time: its burst has recovered most. If no caller is idle, there
        # are no more accounts than running calls.
        idle = next(
            (name for name, account in self._accounts.items() if account.running == account.watching == 0), None
        )
        if idle is not None:
            del self._accounts[idle]
