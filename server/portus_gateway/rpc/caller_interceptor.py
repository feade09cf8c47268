"""Lets calls in: finds out who calls, and whether they may at all, before a handler sees the call."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from contextvars import ContextVar
from typing import Final, TypeAlias, cast

import grpc
import structlog

from portus_gateway.access.authentication import Authentication
from portus_gateway.access.caller import Caller
from portus_gateway.access.caller_limits import CallerLimits
from portus_gateway.access.current_call import Call, current_call
from portus_gateway.access.errors import PermissionDenied
from portus_gateway.access.policy import Policy, PolicySource
from portus_gateway.access.rpcs import DELETE, SERVICE
from portus_gateway.errors import GatewayError
from portus_gateway.operations.deletion_audit import DeletionAudit

_log = structlog.get_logger(__name__)

Handler: TypeAlias = "grpc.RpcMethodHandler[object, object]"
Context = grpc.aio.ServicerContext[object, object]
Metadata = Iterable[tuple[str, str | bytes]]
UnaryBehaviour = Callable[[object, Context], Awaitable[object]]
StreamBehaviour = Callable[[object, Context], AsyncGenerator[object, None]]

# Load balancers and kubelets have no credential.
_HEALTH: Final = "/grpc.health.v1.Health/"
_REFLECTION: Final = ("/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/")
_LIMITED: Final = f"/{SERVICE}/"
_REMEMBERED_CALLERS: Final = 4096

# The call's, from the interceptor to the handler, which runs in the same task: to have it read anew takes longer than
# all that is done with it.
_metadata: Final[ContextVar[Metadata]] = ContextVar("metadata")


class CallerInterceptor:
    """Lets in whom `authentication` knows, and `policy` and `limits` allow; sets `current_call` for what is inside.

    Health is open to all, and so is reflection if `reflection_open`; else it wants a credential, as every other service
    does. Deletes that are refused here go to `audit`. A method that does not exist is not this one's to refuse: grpcurl
    takes UNIMPLEMENTED, and nothing else, for the sign to try the other version of reflection.

    Raises the errors of `access.errors` in the handlers that it makes. They are coroutine functions, or asynchronous
    generator functions where the method streams; so have those to be that it wraps.
    """

    def __init__(
        self,
        *,
        authentication: Authentication,
        policy: PolicySource | None,
        limits: CallerLimits | None,
        audit: DeletionAudit | None,
        reflection_open: bool,
    ) -> None:
        self.authentication = authentication
        self.policy = policy
        self.limits = limits
        self.audit = audit
        self._open = (_HEALTH, *_REFLECTION) if reflection_open else (_HEALTH,)
        self.allowed: dict[tuple[frozenset[str], str], Policy] = {}
        """The policy that last allowed these principals this RPC."""

    def call_comes(self, metadata: Metadata) -> None:
        _metadata.set(metadata)

    def around(self, method: str, handler: Handler) -> Handler:
        return handler if method.startswith(self._open) else self._admitting(method, handler)

    def _admitting(self, method: str, inner: Handler) -> Handler:
        limited = method.startswith(_LIMITED)
        rpc = method.rpartition("/")[2]
        # The stubs describe handlers of the synchronous API, hence the casts.
        if inner.response_streaming:
            streams = cast("StreamBehaviour", inner.stream_stream if inner.request_streaming else inner.unary_stream)

            async def serve_stream(request: object, context: Context) -> AsyncIterator[object]:
                entry = _Entry(self, rpc, request, context, limited=limited)
                await entry.enter()
                try:
                    async with aclosing(streams(request, context)) as responses:
                        async for response in responses:
                            yield response
                finally:
                    entry.leave()

            make = (
                grpc.stream_stream_rpc_method_handler
                if inner.request_streaming
                else grpc.unary_stream_rpc_method_handler
            )
            return make(serve_stream, inner.request_deserializer, inner.response_serializer)
        answers = cast("UnaryBehaviour", inner.stream_unary if inner.request_streaming else inner.unary_unary)

        async def serve(request: object, context: Context) -> object:
            entry = _Entry(self, rpc, request, context, limited=limited)
            await entry.enter()
            try:
                return await answers(request, context)
            finally:
                entry.leave()

        make = grpc.stream_unary_rpc_method_handler if inner.request_streaming else grpc.unary_unary_rpc_method_handler
        return make(serve, inner.request_deserializer, inner.response_serializer)


class _Entry:
    """One call's way in, and out."""

    __slots__ = ("_caller", "_context", "_inside", "_interceptor", "_limited", "_request", "_rpc")

    def __init__(
        self, interceptor: CallerInterceptor, rpc: str, request: object, context: Context, *, limited: bool
    ) -> None:
        self._interceptor = interceptor
        self._rpc = rpc
        self._request = request
        self._context = context
        self._limited = limited
        self._caller: Caller | None = None
        self._inside = False

    async def enter(self) -> None:
        """Lets the call in; `leave` belongs behind it. Raises what `CallerInterceptor` does."""
        context = self._context
        try:
            caller = self._caller = await self._interceptor.authentication.caller(_metadata.get(), context.auth_context)
            if self._limited:
                self._count(caller)
                self._check(caller)
        except BaseException as error:
            self.leave()
            if isinstance(error, GatewayError):
                await self._record(error)
            raise
        current_call.set(Call(caller, self._rpc, context.peer))

    def _count(self, caller: Caller) -> None:
        # Calls that the policy will refuse count as well: they cost something too.
        if self._interceptor.limits is not None:
            self._interceptor.limits.enter(caller)
            self._inside = True

    def _check(self, caller: Caller) -> None:
        if self._interceptor.policy is None:
            return
        policy = self._interceptor.policy.policy
        allowed = self._interceptor.allowed
        key = (caller.principals, self._rpc)
        if allowed.get(key) is policy:
            return
        rights = policy.rights(caller, self._rpc)
        decision = rights.in_registry()
        if not decision.allowed:
            _log.info("refused", caller=caller.name, rpc=self._rpc, decision=str(decision))
            raise PermissionDenied(f"{caller.name} may not call {self._rpc}")
        if len(allowed) >= _REMEMBERED_CALLERS:
            allowed.clear()
        allowed[key] = policy

    async def _record(self, error: GatewayError) -> None:
        if self._interceptor.audit is not None and self._rpc in DELETE:
            await self._interceptor.audit.refused(self._caller, self._context.peer(), self._rpc, self._request, error)

    def leave(self) -> None:
        """Ends what `enter` began."""
        if self._inside and self._caller is not None and self._interceptor.limits is not None:
            self._inside = False
            self._interceptor.limits.leave(self._caller)
