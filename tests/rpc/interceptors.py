"""Interceptors such as may let calls in."""

from portus_gateway.access.rpcs import Rpc
from portus_gateway.errors import GatewayError
from portus_gateway.rpc.interception import IncomingCall


class Interceptor:
    """Lets everybody in."""

    async def enter(self, incoming: IncomingCall) -> None:
        pass

    async def check(self, incoming: IncomingCall, rpc: Rpc) -> None:
        pass

    async def refused(self, incoming: IncomingCall, error: GatewayError) -> None:
        pass

    def leave(self, incoming: IncomingCall) -> None:
        pass


class Raising(Interceptor):
    """Lets nobody in."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    async def enter(self, incoming: IncomingCall) -> None:
        raise self._error
