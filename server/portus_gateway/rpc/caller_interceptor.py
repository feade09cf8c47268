"""Lets calls in: finds out who calls, and whether the caller may call the RPC at all."""

from typing import Final

from portus_gateway.access.authentication import Authentication
from portus_gateway.access.caller import Caller
from portus_gateway.access.caller_limits import CallerLimits
from portus_gateway.access.errors import PermissionDenied, Unauthenticated
from portus_gateway.access.policy import PolicySource
from portus_gateway.access.refusal_log import RefusalLog
from portus_gateway.access.rpcs import Rpc
from portus_gateway.errors import GatewayError
from portus_gateway.operations.deletion_audit import DeletionAudit
from portus_gateway.rpc.interception import IncomingCall
from portus_gateway.rpc.service_names import HEALTH_SERVICE, REFLECTION_V1_SERVICE, REFLECTION_V1ALPHA_SERVICE

# Load balancers and kubelets have no credential.
_HEALTH: Final = frozenset({HEALTH_SERVICE})
_REFLECTION: Final = frozenset({REFLECTION_V1_SERVICE, REFLECTION_V1ALPHA_SERVICE})


class CallerInterceptor:
    """Lets in the callers that `authentication` knows, and that `policy` and `limits` allow (`Interceptor`).

    Sets the caller of the current call. Health is open to all, and so is reflection if `reflection_open`; otherwise
    reflection needs a credential, as every other service does. Refused deletes go to `audit`. A method that does not
    exist is not refused here: grpcurl tries the other version of reflection only after UNIMPLEMENTED.

    Raises the errors of `access.errors`.
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
        self._authentication = authentication
        self._policy = policy
        self._limits = limits
        self._audit = audit
        self._refusals = RefusalLog()
        self._open = _HEALTH | _REFLECTION if reflection_open else _HEALTH

    async def enter(self, incoming: IncomingCall) -> None:
        if incoming.service in self._open:
            return
        call = incoming.call
        caller = call.caller = await self._authentication.caller(call.metadata, incoming.connection)
        if call.rpc is not None:
            self._admit(caller, call.rpc)

    async def check(self, incoming: IncomingCall, rpc: Rpc) -> None:
        call = incoming.call
        caller = await self._authentication.caller(call.metadata, incoming.connection)
        if caller != call.caller:
            raise Unauthenticated("the credential belongs to another caller than when the call began: call again")
        self._check(caller, rpc)

    async def refused(self, incoming: IncomingCall, error: GatewayError) -> None:
        call = incoming.call
        if self._audit is not None and call.rpc is not None and call.rpc.deletes:
            await self._audit.refused(call.known_caller, call.peer, call.rpc.name, await incoming.peek(), error)

    def leave(self, incoming: IncomingCall) -> None:
        if self._limits is not None and incoming.call.rpc is not None:
            self._limits.leave(incoming.call.caller, watching=incoming.call.rpc.watches)

    def _admit(self, caller: Caller, rpc: Rpc) -> None:
        # Calls that the policy refuses count as well: they cost something too.
        if self._limits is not None:
            self._limits.enter(caller, watching=rpc.watches)
        try:
            self._check(caller, rpc)
        except BaseException:
            if self._limits is not None:
                self._limits.leave(caller, watching=rpc.watches)
            raise

    def _check(self, caller: Caller, rpc: Rpc) -> None:
        if self._policy is None:
            return
        decision = self._policy.policy.rights(caller, rpc).in_registry
        if not decision.allowed:
            self._refusals.refused(caller, rpc=rpc.name, decision=str(decision))
            raise PermissionDenied(f"{caller.name} may not call {rpc.name}")
