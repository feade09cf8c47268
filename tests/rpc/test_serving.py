"""What looks after the calls of a server."""

import asyncio

from portus_gateway.access.current_call import Call, current_call, current_request_id
from portus_gateway.errors import GatewayError
from portus_gateway.rpc.call_limit import CallLimit
from portus_gateway.rpc.limits import ServerLimits
from portus_gateway.rpc.serving import Serving
from portus_gateway.rpc.unread_answers import UnreadAnswers
from portus_gateway.telemetry.call_observers import CallObservers


class RunningCall:
    """Remembers which call was the current one when it was looked at."""

    peer = "ipv4:127.0.0.1:1"
    is_limited = True
    is_answered = False

    def __init__(self) -> None:
        self.looked_at = asyncio.Event()
        self.current = "nothing"

    def end(self, error: GatewayError) -> None:
        raise AssertionError(error)

    def check(self, now: float) -> None:
        self.current = current_request_id()
        self.looked_at.set()

    def is_unread(self, now: float) -> bool:
        return False


async def test_what_is_logged_about_late_calls_has_no_other_calls_id() -> None:
    limits = ServerLimits(max_call_duration=0.04)
    serving = Serving(limits, CallLimit(1), CallObservers(), UnreadAnswers(1024), ())
    running = RunningCall()
    current_call.set(Call(None, "the-first-call"))
    try:
        serving.begin(running)
        async with asyncio.timeout(5):
            await running.looked_at.wait()
    finally:
        serving.close()
    assert running.current == ""
