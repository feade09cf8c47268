"""The outermost layer around every RPC: request id, limits, deadline, errors, observation.

Whatever happens inside, what comes out is a response or a status of our own table: nothing else reaches a caller.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing, nullcontext
from dataclasses import dataclass
from typing import cast

import grpc
import structlog
from google.protobuf.message import DecodeError, Message

from portus_gateway.aio import deadline
from portus_gateway.aio.carried_through import BREAK_OFF
from portus_gateway.distribution.errors import Unavailable
from portus_gateway.errors import FieldViolation, GatewayError
from portus_gateway.rpc import request_id
from portus_gateway.rpc.call_errors import Bug, InvalidFields, ShuttingDown
from portus_gateway.rpc.call_limit import CallLimit
from portus_gateway.rpc.interception import Handler, Metadata
from portus_gateway.rpc.limits import ServerLimits
from portus_gateway.rpc.observation import CallObserver, FinishedCall
from portus_gateway.rpc.resources import resource_of
from portus_gateway.rpc.service_names import REGISTRY_SERVICE
from portus_gateway.rpc.status import DETAILS_METADATA_KEY, code_of, problem_of, status_of

Context = grpc.aio.ServicerContext[bytes, bytes]
UnaryBehaviour = Callable[[Message | AsyncIterator[Message], Context], Coroutine[object, None, Message]]
StreamBehaviour = Callable[[Message | AsyncIterator[Message], Context], AsyncGenerator[Message, None]]

_log = structlog.get_logger(__name__)
_LIMITED_METHODS = f"/{REGISTRY_SERVICE}/"


@dataclass(frozen=True, slots=True)
class _Method:
    """What there is to know of a method. `limited` is False for health and reflection."""

    name: str
    limited: bool
    streaming: bool
    deserialize: Callable[[bytes], Message]
    serialize: Callable[[Message], bytes]


class Boundary:
    """The outermost interceptor (`interception.Interceptor`).

    Calls of the RegistryService are counted and bounded in time; those of health and reflection are not.

    Every handler inside has to be a coroutine function or, where it streams, an async generator function.
    """

    def __init__(self, *, limits: ServerLimits, call_limit: CallLimit, observer: CallObserver) -> None:
        self.limits = limits
        self.call_limit = call_limit
        self.observer = observer
        self.draining = False
        self.running: set[_Call] = set()

    def call_comes(self, metadata: Metadata) -> None:
        # The handler runs in this same task, and so finds it there. To read the metadata anew costs more than the rest.
        request_id.current.set(request_id.accepted(metadata))

    def drain(self) -> None:
        """Refuses new calls from now on, but for health checks."""
        self.draining = True

    def end_unlimited_calls(self) -> None:
        """Ends the calls of health and reflection; each is answered that the gateway is shutting down."""
        for call in tuple(self.running):
            if not call.method.limited:
                call.end()

    def end_calls(self) -> None:
        """Ends all calls; each is answered that the gateway is shutting down."""
        for call in tuple(self.running):
            call.end()

    def around(self, method: str, handler: Handler) -> Handler:
        return cast("Handler", self._guarded(method, handler))

    def _guarded(self, name: str, inner: Handler) -> "grpc.RpcMethodHandler[bytes | AsyncIterator[bytes], bytes]":
        # Messages are read and written in here: what fails at that must not get past the boundary either. The stubs
        # describe handlers of the synchronous API, hence the casts.
        method = _Method(
            name=name,
            limited=name.startswith(_LIMITED_METHODS),
            streaming=inner.response_streaming,
            deserialize=cast("Callable[[bytes], Message]", inner.request_deserializer),
            serialize=cast("Callable[[Message], bytes]", inner.response_serializer),
        )
        if inner.response_streaming:
            streams = cast("StreamBehaviour", inner.stream_stream if inner.request_streaming else inner.unary_stream)

            # A coroutine that writes, not a generator: one that is left behind is closed by nobody in particular, and
            # outside of its context.
            async def serve_stream(incoming: bytes | AsyncIterator[bytes], context: Context) -> None:
                call = _Call(self, method, context)
                try:
                    call.begin()
                    request = call.read(incoming)
                    seconds = call.seconds()
                    bound = nullcontext() if seconds is None else deadline.within(seconds)
                    async with bound, aclosing(streams(request, context)) as responses:
                        async for response in responses:
                            await context.write(method.serialize(response))
                except BaseException as error:
                    await call.fail(error)
                    raise
                call.succeed()

            if inner.request_streaming:
                return grpc.stream_stream_rpc_method_handler(serve_stream)
            return grpc.unary_stream_rpc_method_handler(serve_stream)

        answers = cast("UnaryBehaviour", inner.stream_unary if inner.request_streaming else inner.unary_unary)

        async def serve(incoming: bytes | AsyncIterator[bytes], context: Context) -> bytes:
            call = _Call(self, method, context)
            try:
                call.begin()
                work = answers(call.read(incoming), context)
                seconds = call.seconds()
                response = await (work if seconds is None else deadline.bounded(seconds, work))
                answer = method.serialize(response)
                if call.is_abandoned:
                    raise asyncio.CancelledError
            except BaseException as error:
                await call.fail(error)
                raise
            call.succeed()
            return answer

        if inner.request_streaming:
            return grpc.stream_unary_rpc_method_handler(serve)
        return grpc.unary_unary_rpc_method_handler(serve)


class _Call:
    """One call, from its coming in to its status."""

    __slots__ = (
        "_boundary",
        "_context",
        "_counted",
        "_ended",
        "_request",
        "_request_id",
        "_started",
        "_task",
        "method",
    )

    def __init__(self, boundary: Boundary, method: _Method, context: Context) -> None:
        self.method = method
        self._boundary = boundary
        self._context = context
        self._counted = False
        self._ended = False
        self._request: Message | None = None
        self._started = time.perf_counter()
        self._task = asyncio.current_task()
        self._request_id = request_id.current.get()
        # With the status, at the end: once a caller has had initial metadata its channel retries no error (gRFC A6).
        context.set_trailing_metadata(((request_id.METADATA_KEY, self._request_id),))
        boundary.running.add(self)
        try:
            boundary.observer.call_started(method.name)
        except Exception:
            _log.exception("the observer of calls failed")

    def begin(self) -> None:
        """Lets the call in. Raises `ShuttingDown`, `TooManyCalls`."""
        method = self.method
        if self._boundary.draining and (method.limited or method.streaming):
            raise ShuttingDown
        if method.limited:
            self._boundary.call_limit.enter(streaming=method.streaming)
            self._counted = True

    def read(self, incoming: bytes | AsyncIterator[bytes]) -> Message | AsyncIterator[Message]:
        """The request, or all requests of a caller that streams. Raises `InvalidFields`."""
        if isinstance(incoming, bytes):
            self._request = self._parsed(incoming)
            return self._request
        return self._read_all(incoming)

    def seconds(self) -> float | None:
        """How long it may take: what the caller is willing to wait, and our own limit; None for health and the like."""
        if not self.method.limited:
            return None
        limits = self._boundary.limits
        limit = limits.max_stream_duration if self.method.streaming else limits.max_call_duration
        remaining: float | None = self._context.time_remaining()
        return limit if remaining is None else min(limit, remaining)

    @property
    def is_abandoned(self) -> bool:
        """Whether the caller went away. What was carried through all the same has nobody to be told to."""
        return self._task is None or self._task.cancelling() > 0

    def end(self) -> None:
        """Ends the call from outside, because the gateway stops."""
        if self._task is not None and not self._ended:
            self._ended = True
            self._task.cancel(BREAK_OFF)

    def succeed(self) -> None:
        """The end of a call that went well."""
        self._leave()
        self._observe(grpc.StatusCode.OK)

    async def fail(self, error: BaseException) -> None:
        """The end of a call with `error`: its status, if there is still somebody to have it."""
        self._leave()
        if isinstance(error, grpc.aio.AbortError):
            # The status went out already: from an interceptor within.
            self._observe(self._context.code() or grpc.StatusCode.UNKNOWN)
        elif self._is_over(error):
            late = self._context.time_remaining() == 0
            self._observe(grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED)
        else:
            await self._answer(self._known(error))

    def _leave(self) -> None:
        self._boundary.running.discard(self)
        if self._counted:
            self._boundary.call_limit.leave(streaming=self.method.streaming)

    def _is_over(self, error: BaseException) -> bool:
        """Whether there is nobody left to answer: the caller went away, or the server was stopped."""
        if self._ended and self._task is not None:
            self._task.uncancel()
        if self.is_abandoned:
            return True
        if isinstance(error, asyncio.CancelledError):
            # Without a request to cancel this very task, it is what the call waited for that was cancelled.
            return False
        # The core's own errors say that the call is finished or its transport is gone; but one of misuse is a bug.
        gone = isinstance(error, grpc.aio.BaseError) and not isinstance(error, grpc.aio.UsageError)
        return gone or not isinstance(error, Exception)

    def _known(self, error: BaseException) -> GatewayError:
        if isinstance(error, GatewayError):
            return error
        if isinstance(error, asyncio.CancelledError):
            if self._ended:
                return ShuttingDown()
            return Unavailable("what this call waited for was ended by something else: try again")
        _log.error("a call failed unexpectedly", method=self.method.name, request_id=self._request_id, exc_info=error)
        return Bug(self._request_id)

    async def _answer(self, error: GatewayError) -> None:
        status = status_of(error, resource_of(self._request, error))
        code = code_of(error)
        self._observe(code, error.reason, problem_of(error))
        await self._context.abort(
            code,
            status.message,
            (
                (request_id.METADATA_KEY, self._request_id),
                (DETAILS_METADATA_KEY, status.SerializeToString()),
            ),
        )

    def _observe(self, code: grpc.StatusCode, reason: str = "", problem: str = "") -> None:
        call = FinishedCall(
            method=self.method.name,
            code=code,
            reason=reason,
            problem=problem,
            seconds=time.perf_counter() - self._started,
            request_id=self._request_id,
            # Asked of a call that is over, gRPC ends the process.
            peer=self._context.peer(),
            request=self._request,
        )
        try:
            self._boundary.observer.call_finished(call)
        except Exception:
            _log.exception("the observer of calls failed")

    def _parsed(self, data: bytes) -> Message:
        try:
            return self.method.deserialize(data)
        except DecodeError as error:
            violation = FieldViolation("request", "not a message of the type that this method takes")
            raise InvalidFields([violation]) from error

    async def _read_all(self, incoming: AsyncIterator[bytes]) -> AsyncIterator[Message]:
        async for data in incoming:
            yield self._parsed(data)
