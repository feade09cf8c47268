"""The outermost layer around every RPC: request id, limits, deadline, errors, observation.

Whatever happens inside, a caller gets a response or a status of the gateway's own table, and nothing else.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Coroutine, Sequence
from contextlib import aclosing
from typing import TypeAlias, cast

import grpc
from google.protobuf.message import Message

from portus_gateway.access.rpcs import Rpc
from portus_gateway.aio import deadline
from portus_gateway.rpc.call_limit import CallLimit
from portus_gateway.rpc.call_tracing import CallTracer
from portus_gateway.rpc.interception import Handler, Interceptor
from portus_gateway.rpc.limits import ServerLimits
from portus_gateway.rpc.method import Method
from portus_gateway.rpc.observation import CallObserver
from portus_gateway.rpc.open_services import OPEN_METHODS
from portus_gateway.rpc.request_bounds import MessageShape
from portus_gateway.rpc.request_types import request_type
from portus_gateway.rpc.served_call import Context, ServedCall
from portus_gateway.rpc.serving import Serving
from portus_gateway.rpc.unread_answers import UnreadAnswers

UnaryBehaviour = Callable[[Message | AsyncIterator[Message], Context], Coroutine[object, None, Message]]
StreamBehaviour = Callable[[Message | AsyncIterator[Message], Context], AsyncGenerator[Message, None]]
GrpcHandler: TypeAlias = "grpc.RpcMethodHandler[bytes | AsyncIterator[bytes], bytes]"


class Boundary:
    """Wraps every handler (`interception.Wrapper`).

    Calls of the RegistryService are counted and bounded in time; those of health and reflection are not. Each handler
    inside has to be a coroutine function or, where it streams, an async generator function. `interceptors` let a call
    in, before its request is read.
    """

    def __init__(
        self,
        *,
        limits: ServerLimits,
        call_limit: CallLimit,
        observer: CallObserver,
        interceptors: Sequence[Interceptor] = (),
        tracer: CallTracer | None = None,
    ) -> None:
        unread = UnreadAnswers(limits.max_unread_bytes)
        self._serving = Serving(limits, call_limit, observer, unread, tuple(interceptors), tracer)

    def listens_on(self, ports: Collection[int]) -> None:
        """Says on which ports the server listens."""
        self._serving.ports = tuple(ports)

    def busy_peers(self) -> Collection[str]:
        """The peers that have calls, as gRPC writes them."""
        return {call.peer for call in self._serving.calls}

    def drain(self) -> None:
        """Takes no new calls from now on, except for health checks. They are refused after `goaway_sent`."""
        self._serving.draining = True

    def goaway_sent(self) -> None:
        """To be called when GOAWAY was sent on all connections: new calls are refused from now on."""
        self._serving.goaway_sent.set()

    def end_unlimited_calls(self) -> None:
        """Ends the calls of health and reflection. Each gets the status SHUTTING_DOWN."""
        self._serving.shut_down(limited=False)

    def end_calls(self) -> None:
        """Ends all calls. Each gets the status SHUTTING_DOWN."""
        self._serving.shut_down(limited=False)
        self._serving.shut_down(limited=True)

    def wrapped(self, method: str, rpc: Rpc | None, handler: Handler) -> Handler:
        # Messages are read and written in here, so that no failure to do so gets past the boundary. To gRPC every
        # request is a stream: it then asks for the message only when somebody wants it, after the caller is let in.
        # The stubs describe handlers of the synchronous API, hence the casts.
        open_method = OPEN_METHODS.get(method)
        limits = self._serving.limits
        seconds = limits.max_stream_duration if handler.response_streaming else limits.max_call_duration
        if open_method is not None and open_method.seconds is not None:
            seconds = min(seconds, open_method.seconds)
        described = Method(
            name=method,
            service=method.strip("/").rpartition("/")[0],
            rpc=rpc,
            open=open_method,
            request_streams=handler.request_streaming,
            response_streams=handler.response_streaming,
            watches=rpc is not None and rpc.watches,
            seconds=seconds,
            request_shape=None if rpc is None else MessageShape.of(request_type(rpc.name)),
            deserialize=cast("Callable[[bytes], Message]", handler.request_deserializer),
            serialize=cast("Callable[[Message], bytes]", handler.response_serializer),
        )
        if handler.response_streaming:
            streams = cast(
                "StreamBehaviour", handler.stream_stream if handler.request_streaming else handler.unary_stream
            )
            return cast("Handler", self._streaming(described, streams))
        answers = cast("UnaryBehaviour", handler.stream_unary if handler.request_streaming else handler.unary_unary)
        return cast("Handler", self._unary(described, answers))

    def _unary(self, method: Method, answers: UnaryBehaviour) -> GrpcHandler:
        async def answer(context: Context) -> bytes | BaseException:
            call = ServedCall(self._serving, method, context)
            try:
                await call.admitted()
                response = await deadline.bounded(answers(await call.request(), context))
                content = method.serialize(response)
                if not call.hold(len(content)):
                    size = len(content)
                    # The message is often in memory already, for other calls; its bytes are this call's alone.
                    del content
                    await call.wait_to_hold(size)
                    content = method.serialize(response)
                if call.is_abandoned:
                    raise asyncio.CancelledError
            except BaseException as error:
                return await call.failed(error)
            call.succeeded()
            return content

        async def serve(_: AsyncIterator[bytes], context: Context) -> bytes:
            answered = await answer(context)
            if isinstance(answered, bytes):
                return answered
            del _, context
            # gRPC keeps the error, and with it this frame, for as long as the call: neither may refer to the call.
            try:
                raise answered
            finally:
                del answered

        return grpc.stream_unary_rpc_method_handler(serve)

    def _streaming(self, method: Method, streams: StreamBehaviour) -> GrpcHandler:
        async def answer(context: Context) -> BaseException | None:
            call = ServedCall(self._serving, method, context)
            try:
                await call.admitted()
                request = await call.request()
                async with deadline.within(method.seconds), aclosing(streams(request, context)) as responses:
                    async for response in responses:
                        content = method.serialize(response)
                        # It may take long to send, and only its bytes are needed.
                        del response
                        await call.write(content)
            except BaseException as error:
                return await call.failed(error)
            call.succeeded()
            return None

        # A coroutine that writes, not a generator: nobody closes a generator that is left behind, and if somebody does,
        # it is outside of its context.
        async def serve(_: AsyncIterator[bytes], context: Context) -> None:
            failure = await answer(context)
            if failure is None:
                return
            del _, context
            try:
                raise failure
            finally:
                del failure

        return grpc.stream_stream_rpc_method_handler(serve)
