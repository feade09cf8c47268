"""What records calls as spans, if the gateway is traced."""

from typing import Protocol

from portus_gateway.access.caller import Caller
from portus_gateway.access.current_call import Call
from portus_gateway.aio.spans import Span
from portus_gateway.rpc.observation import FinishedCall


class CallSpan(Span, Protocol):
    """The span of a call. Its methods return at once and never raise."""

    def call_finished(self, call: FinishedCall) -> None:
        """Ends the span with the outcome of the call."""
        ...


class CallTracer(Protocol):
    """Records calls."""

    def call_began(self, call: Call, caller: Caller, method: str, seconds: float) -> CallSpan:
        """Begins the span of a call that came in `seconds` ago. `method` is its full name: `/package.Service/Method`.

        Returns at once and never raises. `call_finished` always follows.
        """
        ...
