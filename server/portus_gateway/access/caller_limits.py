"""How often, and how much at a time, one caller may call."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from portus_gateway.access.caller import Caller
from portus_gateway.access.errors import CallerConcurrencyExceeded, CallerRateExceeded

# How soon a caller is to try again whose calls have to end first, in seconds.
_CONCURRENCY_DELAY: Final = 1.0


@dataclass(slots=True)
class _Account:
    """What one caller has left: `tokens`, as of `counted`, and how many of its calls run."""

    tokens: float
    counted: float
    running: int = 0


class CallerLimits:
    """Lets each caller make `rate` calls a second, `burst` at once after a pause, and have `concurrency` running.

    None is no limit. All who are anonymous are one caller. Remembers `remembered` callers at most: those with calls
    running, and of the others the latest.
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
            raise ValueError("a rate is more than 0 calls a second")
        if concurrency is not None and concurrency < 1:
            raise ValueError("a caller has to be able to make one call at a time")
        self._rate = rate
        self._burst = float(burst if burst is not None else max(1.0, rate or 1.0))
        if self._burst < 1:
            raise ValueError("a burst is one call at least")
        self._concurrency = concurrency
        self._remembered = remembered
        self._clock = clock
        self._accounts: OrderedDict[str, _Account] = OrderedDict()

    def enter(self, caller: Caller) -> None:
        """Begins a call, which `leave` ends. Raises `CallerRateExceeded`, `CallerConcurrencyExceeded`."""
        account = self._account(caller.name)
        if self._concurrency is not None and account.running >= self._concurrency:
            raise CallerConcurrencyExceeded(
                f"{caller.name} has {account.running} calls running, as many as it may: wait for one to end",
                retry_after=_CONCURRENCY_DELAY,
            )
        self._take(account, caller)
        account.running += 1

    def leave(self, caller: Caller) -> None:
        self._accounts[caller.name].running -= 1

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
        # The one that has been idle for longest: it has the most of its burst back. Where none is idle, there are no
        # more accounts than calls.
        idle = next((name for name, account in self._accounts.items() if account.running == 0), None)
        if idle is not None:
            del self._accounts[idle]
