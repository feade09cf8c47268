"""What the gateway tells whoever counts and logs calls."""

from typing import Protocol

import grpc
from google.protobuf.message import Message

from portus_gateway.rpc.resources import repository_of


class FinishedCall:
    """A call that ended.

    `method` is the full name, `/portus.registry.v1.RegistryService/Catalog`; only methods that exist are observed.
    `reason` is the ErrorInfo's, empty where the call went well or its caller went away. `problem` is the error's text
    for the operator (`operations.setting_advice`), empty if there is nothing to look at. `seconds` is how long it took.
    `peer` is where the call came from, in gRPC's words: `ipv4:127.0.0.1:40000`.
    """

    __slots__ = ("_request", "code", "method", "peer", "problem", "reason", "request_id", "seconds")

    def __init__(
        self,
        *,
        method: str,
        code: grpc.StatusCode,
        reason: str,
        problem: str = "",
        seconds: float,
        request_id: str,
        peer: str,
        request: Message | None,
    ) -> None:
        self.method = method
        self.code = code
        self.reason = reason
        self.problem = problem
        self.seconds = seconds
        self.request_id = request_id
        self.peer = peer
        self._request = request

    @property
    def repository(self) -> str:
        """What the request named, as it stood there (at most 255 characters); empty where it named none."""
        return repository_of(self._request)


class CallObserver(Protocol):
    """Is told of calls: metrics and logs, without the servicers knowing of any. Must return at once."""

    def call_started(self, method: str) -> None:
        """A call came in. `call_finished` follows, whatever becomes of it."""
        ...

    def call_finished(self, call: FinishedCall) -> None:
        """A call ended; its request id is still in `rpc.request_id.current`."""
        ...
