"""The call that is being served: who makes it, which RPC it is, and what came with it."""

from collections.abc import Iterable
from contextvars import ContextVar
from typing import Final

from portus_gateway.access.caller import Caller
from portus_gateway.access.rpcs import Rpc

Metadata = Iterable[tuple[str, str | bytes]]


class Call:
    """One call.

    `rpc` is None for the methods of other services (health, reflection). `peer` is the address that the call came from,
    as gRPC writes it: `ipv4:127.0.0.1:40000`; empty until the call has begun.
    """

    __slots__ = ("_caller", "metadata", "peer", "request_id", "rpc")

    def __init__(
        self, rpc: Rpc | None, request_id: str, metadata: Metadata = (), *, caller: Caller | None = None, peer: str = ""
    ) -> None:
        self.rpc = rpc
        self.request_id = request_id
        self.metadata = metadata
        self.peer = peer
        self._caller = caller

    @property
    def known_caller(self) -> Caller | None:
        """None before the caller is known, and where nobody asks who calls."""
        return self._caller

    @property
    def owner(self) -> str:
        """Whose share of limits this call takes: the caller's, or that of its connection if the caller is not known."""
        caller = self._caller
        return self.peer if caller is None or caller.kind == "anonymous" else caller.name

    @property
    def caller(self) -> Caller:
        """Raises `LookupError` if the caller is not known: code that needs a caller must not run without one."""
        if self._caller is None:
            raise LookupError("the caller of this call is not known")
        return self._caller

    @caller.setter
    def caller(self, caller: Caller) -> None:
        self._caller = caller


# Has no value outside of calls: code that needs a call fails there.
current_call: Final[ContextVar[Call]] = ContextVar("current_call")


def current_rpc() -> tuple[Caller, Rpc]:
    """The caller and the RPC of the current call. Raises `LookupError` outside of calls of the RegistryService."""
    call = current_call.get()
    if call.rpc is None:
        raise LookupError("the current call is not one of the RegistryService")
    return call.caller, call.rpc


def current_request_id() -> str:
    """The request id of the current call; empty outside of calls."""
    call = current_call.get(None)
    return "" if call is None else call.request_id
