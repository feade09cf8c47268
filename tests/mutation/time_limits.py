"""Ends a trial in which one test takes much longer than it does without a mutant."""

import signal
from collections.abc import Iterator

import pytest

from tests.mutation.baseline import Baseline


class TimeLimits:
    """A pytest plugin that ends this process by SIGALRM. The tests would fail or hang, after any time."""

    def __init__(self, unchanged: Baseline) -> None:
        self._unchanged = unchanged

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, self._unchanged.time_for([item.nodeid]))
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
