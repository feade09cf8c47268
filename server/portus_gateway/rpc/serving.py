"""What the calls of a server share: its limits, its observers, and the end of those that take too long."""

import asyncio
import time
from collections.abc import Collection
from contextvars import Context
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from portus_gateway.errors import GatewayError
from portus_gateway.rpc.call_errors import ShuttingDown
from portus_gateway.rpc.call_limit import CallLimit
from portus_gateway.rpc.call_tracing import CallTracer
from portus_gateway.rpc.connections import close_connections
from portus_gateway.rpc.interception import Interceptor
from portus_gateway.rpc.limits import ServerLimits
from portus_gateway.rpc.observation import CallObserver
from portus_gateway.rpc.open_services import OpenCallLimit
from portus_gateway.rpc.unread_answers import UnreadAnswers

# How often to look for calls that are past their time limit, in seconds.
_CHECK_INTERVAL: Final = 1.0
# How often it is checked whether the callers of streams would still be let in, in seconds.
_CALLER_INTERVAL: Final = 2.0

_log = structlog.get_logger(__name__)


class RunningCall(Protocol):
    """A call that is not over: its answer has not been read yet."""

    @property
    def peer(self) -> str: ...

    @property
    def is_limited(self) -> bool:
        """Whether it is one of the RegistryService, whose calls are counted. Those of health and reflection are not."""
        ...

    @property
    def is_answered(self) -> bool: ...

    def end(self, error: GatewayError) -> None:
        """Ends the call from outside, with this status."""
        ...

    def check(self, now: float) -> None:
        """Ends the call if its request has not come within its time limit."""
        ...

    async def check_caller(self) -> None:
        """Ends the call if it is a stream whose caller would not be let in now."""
        ...

    def is_unread(self, now: float) -> bool:
        """Whether the caller has not read its answer within the gateway's time limit."""
        ...


@dataclass(slots=True)
class Serving:
    """What all calls of a server share."""

    limits: ServerLimits
    call_limit: CallLimit
    observer: CallObserver
    unread: UnreadAnswers
    interceptors: tuple[Interceptor, ...]
    tracer: CallTracer | None = None
    ports: tuple[int, ...] = ()
    """The ports that the server listens on."""
    draining: bool = False
    goaway_sent: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when GOAWAY was sent on all connections. A refused caller then tries again on another connection."""
    open_calls: OpenCallLimit = field(default_factory=OpenCallLimit)
    calls: set[RunningCall] = field(default_factory=set)
    """All calls that are not over."""
    _check_is_due: bool = False
    _checking_callers: asyncio.Task[None] | None = None
    _callers_checked_at: float = 0.0

    def begin(self, call: RunningCall) -> None:
        self.calls.add(call)
        if not self._check_is_due:
            self._check_later()

    def shut_down(self, *, limited: bool) -> None:
        for call in tuple(self.calls):
            if call.is_limited is limited:
                call.end(ShuttingDown())

    def close_connections(self, calls: Collection[RunningCall]) -> None:
        """Ends calls whose callers do not read their answers. Other calls on the same connections end as well."""
        peers = {call.peer for call in calls}
        for peer in peers:
            _log.warning("a connection is closed, because its caller does not read its answers", peer=peer)
        if peers and not close_connections(peers, self.ports):
            _log.error("no connection of these callers was found", peers=sorted(peers))

    def _check_later(self) -> None:
        delay = min(_CHECK_INTERVAL, _CALLER_INTERVAL, self.limits.max_call_duration / 4)
        self._check_is_due = True
        # In no call's context: what it logs is not about the call that begins it.
        asyncio.get_running_loop().call_later(delay, self._check_calls, context=Context())

    def _check_calls(self) -> None:
        self._check_is_due = False
        now = time.perf_counter()
        for call in tuple(self.calls):
            call.check(now)
        self.close_connections([call for call in self.calls if call.is_unread(now)])
        if now - self._callers_checked_at >= _CALLER_INTERVAL and (
            self._checking_callers is None or self._checking_callers.done()
        ):
            self._callers_checked_at = now
            self._checking_callers = asyncio.get_running_loop().create_task(self._check_callers())
        if self.calls:
            self._check_later()

    async def _check_callers(self) -> None:
        for call in tuple(self.calls):
            try:
                await call.check_caller()
            except Exception:
                _log.exception("the caller of a stream could not be checked again")
            # There may be thousands of watches.
            await asyncio.sleep(0)
