"""Log lines about what the policy refuses, within a budget for each caller."""

from typing import Final

import structlog

from portus_gateway.access.budgets import Budgets
from portus_gateway.access.caller import Caller

_log = structlog.get_logger(__name__)

# Refusals cost a caller nothing, and one batch can cause a thousand.
_LINES_A_SECOND: Final = 2.0
_LINES_AT_ONCE: Final = 200


class RefusalLog:
    """Logs which rule of the policy refused what. Beyond a caller's budget, lines are counted in its next one."""

    def __init__(self) -> None:
        self._budgets = Budgets(rate=_LINES_A_SECOND, burst=_LINES_AT_ONCE)

    def refused(self, caller: Caller, **facts: str) -> None:
        """Logs one refusal. `facts` say what was refused, and by which rule."""
        if not self._budgets.allows(caller.name):
            self._budgets.leave_out(caller.name)
            return
        self._budgets.spend(caller.name, 1)
        left_out = self._budgets.left_out_of(caller.name)
        _log.info("refused", caller=caller.name, **facts, **({"left_out": left_out} if left_out else {}))
