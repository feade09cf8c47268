"""One call, from its first metadata to the moment when its answer has been read."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

import grpc
import structlog
from google.protobuf.message import Message

from portus_gateway.access.current_call import current_call
from portus_gateway.access.errors import CallerConcurrencyExceeded
from portus_gateway.aio import deadline, spans
from portus_gateway.aio.carried_through import SHUTDOWN
from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.aio.fair_share import work_for
from portus_gateway.errors import FieldViolation, GatewayError, forget_frames
from portus_gateway.rpc import request_id, retry_pushback
from portus_gateway.rpc.call_errors import InvalidFields, ShuttingDown, TooManyCalls
from portus_gateway.rpc.call_tracing import CallSpan
from portus_gateway.rpc.known_error import known_error
from portus_gateway.rpc.method import Method
from portus_gateway.rpc.observation import FinishedCall
from portus_gateway.rpc.open_services import Place
from portus_gateway.rpc.resources import resource_of
from portus_gateway.rpc.serving import Serving
from portus_gateway.rpc.status import DETAILS_METADATA_KEY, code_of, problem_of, status_of

Context = grpc.aio.ServicerContext[bytes, bytes]

_log = structlog.get_logger(__name__)

# How much longer than its time limit a call may take until its answer has been read, in seconds: an answer may be ready
# at the last moment.
_READING_TIME: Final = 5.0
# How long to wait for the request of a refused call, in seconds.
_PEEK: Final = 1.0
# How long after the end of the requests the gateway hears at the latest that the caller has gone away, in seconds.
_LEAVING: Final = 0.1
_CLIENT_CERTIFICATE: Final = "x509_pem_cert"
# A caller that has read its answer may call again at once, but the gateway hears a little later that the answer has
# been read. So before it refuses a call for want of a place, it tries again after each of these delays, in seconds.
_PLACE_DELAYS: Final = (0.005, 0.015, 0.03, 0.05)


class ServedCall:
    """One call (`interception.IncomingCall`, `serving.RunningCall`)."""

    # Most calls leave these as they are. To set all of them for each call takes longer than to find them here.
    _answered = False
    _answered_at = 0.0
    _connection: Mapping[str, Iterable[bytes]] | None = None
    _end: GatewayError | None = None
    _entered = 0
    _has_place = False
    _held = 0
    _owner = ""
    _place: Place | None = None
    _reading = False
    _request: Message | None = None
    _span: CallSpan | None = None
    _writing = False

    def __init__(self, serving: Serving, method: Method, context: Context) -> None:
        self.method = method
        self.call = call = current_call.get()
        # Read now, because gRPC ends the process if this is read after the call.
        call.peer = context.peer()
        self._serving = serving
        self._context = context
        self._started = time.perf_counter()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("gRPC serves each call in a task of its own")
        self._task = task
        # With the status, at the end: a client retries no call of which it has received initial metadata (gRFC A6).
        context.set_trailing_metadata(((request_id.METADATA_KEY, call.request_id),))
        limit = method.seconds
        wanted: float | None = context.time_remaining()
        # gRPC ends the call at its caller's deadline, read or not.
        self._ends_by_itself = wanted is not None and wanted <= limit
        self._seconds = limit if wanted is None or wanted > limit else wanted
        deadline.begin(self._seconds)
        serving.begin(self)
        # The task of the whole call: it ends when the answer has been sent, not when the handler returns it.
        task.add_done_callback(self._over)
        try:
            serving.observer.call_started(method.name)
        except Exception:
            _log.exception("the observer of calls failed")

    @property
    def service(self) -> str:
        return self.method.service

    @property
    def peer(self) -> str:
        return self.call.peer

    @property
    def is_limited(self) -> bool:
        return self.method.rpc is not None

    @property
    def is_answered(self) -> bool:
        return self._answered

    @property
    def connection(self) -> Callable[[], Mapping[str, Iterable[bytes]]]:
        return self._auth_context

    async def peek(self) -> Message | None:
        try:
            async with asyncio.timeout(_PEEK):
                return self.method.parsed(await self._read())
        except (TimeoutError, InvalidFields):
            return None

    async def admitted(self) -> None:
        """Lets the call in. Raises `ShuttingDown`, `TooManyCalls`, and what the interceptors raise."""
        if self._serving.draining:
            await self._refuse_when_draining()
        await deadline.bounded(self._enter())
        work_for(self._owner)

    async def request(self) -> Message | AsyncIterator[Message]:
        """The request, or all requests of a caller that streams. Raises `InvalidFields`, `ShuttingDown`."""
        if self.method.request_streams:
            return self._all()
        request = self._request = self.method.parsed(await self._read())
        if self._serving.draining:
            await self._refuse_when_draining()
        return request

    def hold(self, size: int) -> bool:
        """Takes memory for an answer, until it has been read. False if there is none now."""
        if self.method.rpc is not None:
            if not self._serving.unread.take(self._owner, size):
                return False
            self._held += size
        return True

    async def wait_to_hold(self, size: int) -> None:
        """Takes memory for an answer as soon as there is some. Raises `TooManyUnreadAnswers` at the time limit."""
        try:
            with spans.step("wait for memory"):
                async with asyncio.timeout(deadline.remaining()):
                    await self._serving.unread.wait(self._owner, size)
        except TimeoutError:
            raise self._serving.unread.error(self._owner) from None
        self._held += size

    async def write(self, content: bytes) -> None:
        """Sends a message of a stream, once there is memory for it."""
        if not self.hold(len(content)):
            await self.wait_to_hold(len(content))
        self._writing = True
        await self._context.write(content)
        self._writing = False
        self._give_back()

    @property
    def is_abandoned(self) -> bool:
        """Whether the caller has gone away. The result of what was carried through is then not sent to anybody."""
        return self._task.cancelling() > 0

    def end(self, error: GatewayError) -> None:
        """Ends the call from outside, with this status."""
        if not self._answered and self._end is None:
            self._end = error
            self._task.cancel(SHUTDOWN)

    def check(self, now: float) -> None:
        """Ends the call if its request has not come within its time limit."""
        if self._reading and now > self._started + self._seconds:
            self.end(DeadlineExceeded("the call's deadline passed before its request had arrived"))

    async def check_caller(self) -> None:
        interceptors = self._serving.interceptors
        rpc = self.method.rpc
        if rpc is None or not rpc.streams or rpc.outlives_credential:
            return
        if self._answered or self._end is not None or self._entered < len(interceptors):
            return
        try:
            for interceptor in interceptors:
                await interceptor.check(self, rpc)
        except GatewayError as error:
            if not self._answered and self._end is None:
                self._end = error
                # What must be carried through, such as a delete that was sent, ends first.
                self._task.cancel()

    def is_unread(self, now: float) -> bool:
        """Whether the caller has not read its answer within the gateway's time limit."""
        if not self._answered:
            return False
        limit = self.method.seconds
        # A delete that was sent is carried through, so its answer may come late.
        return now > max(self._started + limit, self._answered_at) + min(_READING_TIME, limit)

    def succeeded(self) -> None:
        """The handler has the answer."""
        self._answered = True
        self._observe(grpc.StatusCode.OK)

    async def failed(self, error: BaseException) -> BaseException:
        """Sends the status of `error`, if somebody is still there. The result is what the handler has to raise."""
        self._answered = True
        if isinstance(error, grpc.aio.AbortError):
            # A handler has sent the status itself.
            self._observe(self._context.code() or grpc.StatusCode.UNKNOWN)
            return forget_frames(error)
        if self._is_over(error):
            late = self._context.time_remaining() == 0
            self._observe(grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED)
            return _quiet(error)
        if self._writing:
            return self._failed_unread(error)
        known = (isinstance(error, asyncio.CancelledError) and self._end) or known_error(error, self.method.name)
        return await self._send(known)

    def _failed_unread(self, error: BaseException) -> BaseException:
        """The end of a stream whose last message has not been read: gRPC cannot send its status behind it."""
        known = self._end or known_error(error, self.method.name)
        self._observe(code_of(known), known.reason)
        if isinstance(known, DeadlineExceeded) and not self._ends_by_itself:
            self._serving.close_connections([self])
        return asyncio.CancelledError()

    def _auth_context(self) -> Mapping[str, Iterable[bytes]]:
        if self._connection is None:
            # Kept, because gRPC ends the process if this is read after the call.
            self._connection = self._context.auth_context()
        return self._connection

    def _give_back(self) -> None:
        if self._held:
            self._serving.unread.give_back(self._owner, self._held)
            self._held = 0

    async def _enter(self) -> None:
        for interceptor in self._serving.interceptors:
            try:
                try:
                    await interceptor.enter(self)
                except CallerConcurrencyExceeded as full:
                    self._trace()
                    await self._when_there_is_a_place(partial(interceptor.enter, self), full)
            except GatewayError as error:
                self._trace()
                await interceptor.refused(self, error)
                raise
            self._entered += 1
        if self._serving.tracer is not None:
            self._trace()
        self._owner = self.call.owner
        if self.method.rpc is not None:
            try:
                self._take_place()
            except TooManyCalls as full:
                await self._when_there_is_a_place(self._take_place_later, full)
        elif self.method.open is not None:
            known = bool(self._context.auth_context().get(_CLIENT_CERTIFICATE))
            self._place = self._serving.open_calls.enter(self.method.open, self.call.peer, known=known)

    def _trace(self) -> None:
        """Begins the span of the call, if there is a tracer. To be called when the caller is known, or never will be:
        strangers must not be able to make the gateway record anything.
        """
        tracer, caller = self._serving.tracer, self.call.known_caller
        if tracer is None or self._span is not None or self.method.rpc is None or caller is None:
            return
        self._span = tracer.call_began(self.call, caller, self.method.name, time.perf_counter() - self._started)
        spans.work_in(self._span)

    async def _when_there_is_a_place(self, enter: Callable[[], Awaitable[None]], full: GatewayError) -> None:
        if not any(call.is_answered for call in self._serving.calls):
            raise full
        with spans.step("wait for place"):
            for delay in _PLACE_DELAYS[:-1]:
                await asyncio.sleep(delay)
                with suppress(TooManyCalls, CallerConcurrencyExceeded):
                    return await enter()
            await asyncio.sleep(_PLACE_DELAYS[-1])
            return await enter()

    async def _take_place_later(self) -> None:
        self._take_place()

    def _take_place(self) -> None:
        method = self.method
        self._serving.call_limit.enter(self._owner, streaming=method.response_streams, watching=method.watches)
        self._has_place = True

    async def _refuse_when_draining(self) -> None:
        if self.method.rpc is not None or self.method.response_streams:
            # Refused at once, the caller would try again on this connection, and gRPC's core would answer that with a
            # bare CANCELLED.
            await self._serving.goaway_sent.wait()
            raise ShuttingDown

    def _over(self, _: object) -> None:
        serving = self._serving
        serving.calls.discard(self)
        self._give_back()
        if self._has_place:
            method = self.method
            serving.call_limit.leave(self._owner, streaming=method.response_streams, watching=method.watches)
        if self._place is not None:
            serving.open_calls.leave(self._place)
        for interceptor in serving.interceptors[: self._entered]:
            interceptor.leave(self)

    def _is_over(self, error: BaseException) -> bool:
        """Whether nobody is left to answer: the caller has gone away, or the server has stopped."""
        if self._end is not None:
            self._task.uncancel()
        if self.is_abandoned:
            return True
        if isinstance(error, asyncio.CancelledError):
            # Nobody has asked to cancel this task: what the call waited for was cancelled.
            return False
        # gRPC's own errors say that the call is over or its connection is gone, except for the error of wrong usage.
        gone = isinstance(error, grpc.aio.BaseError) and not isinstance(error, grpc.aio.UsageError)
        return gone or not isinstance(error, Exception)

    async def _send(self, error: GatewayError) -> BaseException:
        trace_id = "" if self._span is None else self._span.trace_id
        status = status_of(error, resource_of(self.method.rpc, self._request, error), trace_id=trace_id)
        code = code_of(error)
        self._observe(code, error.reason, problem_of(error))
        self._request = None
        metadata: list[tuple[str, str | bytes]] = [
            (request_id.METADATA_KEY, self.call.request_id),
            (DETAILS_METADATA_KEY, status.SerializeToString()),
        ]
        pushback = retry_pushback.retry_pushback(error)
        if pushback is not None:
            metadata.append((retry_pushback.METADATA_KEY, pushback))
        try:
            await self._context.abort(code, status.message, tuple(metadata))
        except grpc.aio.AbortError as aborted:
            # gRPC keeps it for as long as the call.
            return forget_frames(aborted)
        except grpc.aio.BaseError as gone:
            return _quiet(gone)

    def _observe(self, code: grpc.StatusCode, reason: str = "", problem: str = "") -> None:
        caller = self.call.known_caller
        self._answered_at = now = time.perf_counter()
        finished = FinishedCall(
            method=self.method.name,
            rpc=self.method.rpc,
            code=code,
            reason=reason,
            problem=problem,
            seconds=now - self._started,
            request_id=self.call.request_id,
            peer=self.call.peer,
            caller="" if caller is None else caller.name,
            request=self._request,
        )
        try:
            self._serving.observer.call_finished(finished)
        except Exception:
            _log.exception("the observer of calls failed")
        if self._span is not None:
            self._span.call_finished(finished)

    async def _read(self) -> bytes:
        self._reading = True
        data = await self._context.read()
        self._reading = False
        if not isinstance(data, bytes):
            # If the caller has gone away, the cancellation follows.
            await asyncio.sleep(_LEAVING)
            raise InvalidFields([FieldViolation("request", "missing: this method takes one message")])
        return data

    async def _all(self) -> AsyncIterator[Message]:
        # Not by gRPC's own iterator: it refers to the call, and the call to it, with the last request.
        while isinstance(data := await self._context.read(), bytes):
            yield self.method.parsed(data)


def _quiet(error: BaseException) -> BaseException:
    """What to raise when nobody is left to answer: gRPC logs a traceback for errors, but not for a cancellation."""
    return asyncio.CancelledError() if isinstance(error, Exception) else error
