"""The call that is being served, as far as access is concerned."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from portus_gateway.access.caller import Caller


@dataclass(frozen=True, slots=True)
class Call:
    """`rpc` is the name of the RPC (`GetManifest`); `peer` says which address it came from, as gRPC writes it."""

    caller: Caller
    rpc: str
    peer: Callable[[], str]


# Without a value outside of calls: what asks for it there fails, instead of acting for nobody.
current_call: Final[ContextVar[Call]] = ContextVar("current_call")
