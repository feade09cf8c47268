"""Budgets for many keys: how many bytes or lines of a log each caller may cause."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache

OTHERS: Final = "others"
"""All keys that a summary does not name. It is not a key itself."""
# How many keys may use up their budgets at the same time.
_TOGETHER: Final = 10


@dataclass(slots=True)
class _Account:
    left: float
    counted: float


class Budgets:
    """Token buckets. Each key may use `rate` per second, and `burst` at once after a pause. All keys together may use
    ten times as much. Remembers at most `remembered` keys, and counts what was left out for as many.
    """

    def __init__(
        self,
        *,
        rate: float,
        burst: float,
        remembered: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._remembered = remembered
        self._clock = clock
        self._accounts: LRUCache[str, _Account] = LRUCache(remembered)
        self._all = _Account(_TOGETHER * burst, clock())
        self._left_out: Counter[str] = Counter()

    def allows(self, key: str) -> bool:
        """Whether `key` may use something now. It may use more than is left, and then has to wait longer."""
        return self._left(self._account(key), 1) > 0 and self._left(self._all, _TOGETHER) > 0

    def spend(self, key: str, amount: float) -> None:
        """Notes that `key` has used `amount`."""
        for account, share in ((self._account(key), 1), (self._all, _TOGETHER)):
            # What came back before this is counted first: at most a burst of it.
            self._left(account, share)
            account.left -= amount

    def leave_out(self, key: str) -> None:
        """Counts something that `key` was not allowed."""
        if len(self._left_out) >= self._remembered and key not in self._left_out:
            key = OTHERS
        self._left_out[key] += 1

    def left_out(self, most: int) -> dict[str, int]:
        """How often each key was not allowed something since this was last asked: the `most` first, then `OTHERS`."""
        counts, self._left_out = self._left_out, Counter()
        first = dict(counts.most_common(most))
        others = counts.total() - sum(first.values())
        if others:
            first[OTHERS] = first.get(OTHERS, 0) + others
        return first

    def left_out_of(self, key: str) -> int:
        """How often this key was not allowed something since this was last asked."""
        return self._left_out.pop(key, 0)

    @property
    def has_left_out(self) -> bool:
        return bool(self._left_out)

    def _left(self, account: _Account, share: int) -> float:
        now = self._clock()
        account.left = min(share * self._burst, account.left + (now - account.counted) * share * self._rate)
        account.counted = now
        return account.left

    def _account(self, key: str) -> _Account:
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = _Account(self._burst, self._clock())
        return account
