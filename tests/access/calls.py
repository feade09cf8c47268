"""Being in a call, as a handler is."""

from collections.abc import Iterator
from contextlib import contextmanager

from portus_gateway.access.caller import Caller
from portus_gateway.access.current_call import Call, current_call
from portus_gateway.access.rpcs import RPCS


@contextmanager
def calling(caller: Caller, rpc: str) -> Iterator[None]:
    """A block in which `caller` calls `rpc`."""
    token = current_call.set(Call(RPCS[rpc], "the-id", caller=caller, peer="ipv4:127.0.0.1:1"))
    try:
        yield
    finally:
        current_call.reset(token)
