"""A line for each call that somebody will ask about: every delete and every failure; the others at level debug."""

import logging

import grpc
import structlog

from portus_gateway.rpc.observation import FinishedCall
from portus_gateway.rpc.status import GATEWAY_FAULTS

_log = structlog.get_logger(__name__)


class CallLog:
    """Observes calls, and logs them. To be made once logging is set up."""

    def __init__(self) -> None:
        # Found out once: nearly all calls go well, and nearly nobody wants to read of them.
        self._all = _log.is_enabled_for(logging.DEBUG)

    def call_started(self, method: str) -> None:
        pass

    def call_finished(self, call: FinishedCall) -> None:
        if call.code is grpc.StatusCode.OK and not (call.rpc is not None and call.rpc.deletes):
            if not self._all:
                return
            write = _log.debug
        elif call.code in GATEWAY_FAULTS:
            write = _log.warning
        else:
            write = _log.info
        write(
            "call",
            method=call.method.rpartition("/")[2],
            code=call.code.name,
            milliseconds=round(call.seconds * 1000, 1),
            peer=call.peer,
            request_id=call.request_id,
            **({"reason": call.reason} if call.reason else {}),
            **({"problem": call.problem} if call.problem else {}),
            **({"repository": call.repository} if call.repository else {}),
        )
