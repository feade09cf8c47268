"""Log lines about calls: every delete, and failures within a budget; the others at level debug."""

import logging
import time
from collections.abc import Callable
from typing import Final

import grpc
import structlog

from portus_gateway.access.budgets import Budgets
from portus_gateway.rpc.observation import FinishedCall
from portus_gateway.rpc.status import GATEWAY_FAULTS

_log = structlog.get_logger(__name__)

# Strangers can make calls fail as fast as they like. For each address and reason, 50 MB a day are logged at most.
_LINES_A_SECOND: Final = 2.0
_LINES_AT_ONCE: Final = 200
_SUMMARY_INTERVAL: Final = 60.0
_MOST_NAMED: Final = 20


class CallLog:
    """Observes calls, and logs them. To be made once logging is set up.

    Failures of one kind from one address are logged within a budget. Those beyond it are counted, and the numbers are
    logged at most once a minute, with the next call, and by `close`. Deletes that were carried out are always logged.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        # Found out once: nearly all calls succeed, and their lines are seldom wanted.
        self._all = _log.is_enabled_for(logging.DEBUG)
        self._clock = clock
        self._budgets = Budgets(rate=_LINES_A_SECOND, burst=_LINES_AT_ONCE, clock=clock)
        self._summed_up = clock()

    def call_started(self, method: str) -> None:
        pass

    def call_finished(self, call: FinishedCall) -> None:
        if self._budgets.has_left_out and self._clock() - self._summed_up >= _SUMMARY_INTERVAL:
            self.close()
        if call.code is grpc.StatusCode.OK:
            if call.rpc is not None and call.rpc.deletes:
                _write(_log.info, call)
            elif self._all:
                _write(_log.debug, call)
            return
        kind = f"{call.peer.rpartition(':')[0]} {call.code.name} {call.reason}"
        if not self._budgets.allows(kind):
            self._budgets.leave_out(kind)
            return
        self._budgets.spend(kind, 1)
        _write(_log.warning if call.code in GATEWAY_FAULTS else _log.info, call)

    def close(self) -> None:
        """Logs how many calls were left out."""
        self._summed_up = self._clock()
        for kind, count in self._budgets.left_out(_MOST_NAMED).items():
            _log.warning("failed calls were not logged one by one", kind=kind.rstrip(), count=count)


def _write(write: Callable[..., object], call: FinishedCall) -> None:
    write(
        "call",
        method=call.method.rpartition("/")[2],
        code=call.code.name,
        milliseconds=round(call.seconds * 1000, 1),
        peer=call.peer,
        **({"caller": call.caller} if call.caller else {}),
        request_id=call.request_id,
        **({"reason": call.reason} if call.reason else {}),
        **({"problem": call.problem} if call.problem else {}),
        **({"repository": call.repository} if call.repository else {}),
        **({"validate_only": True} if call.validate_only else {}),
    )
