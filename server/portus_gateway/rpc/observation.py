"""What metrics and logs learn of calls."""

from typing import Protocol

import grpc
from google.protobuf.message import Message

from portus_gateway.access.rpcs import Rpc
from portus_gateway.rpc.resources import is_trial, repository_of


class FinishedCall:
    """A call that ended.

    `method` is the full name, `/portus.registry.v1.RegistryService/Catalog`; only methods that exist are observed.
    `rpc` is None for the methods of other services. `reason` is the ErrorInfo's; it is empty if the call succeeded or
    its caller went away. `problem` is the error's text for the operator (`operations.setting_advice`), empty if there
    is nothing to look at. `seconds` is the time until the answer was ready. `peer` is the address that the call came
    from, as gRPC writes it: `ipv4:127.0.0.1:40000`. `caller` is the caller's name, empty if it is not known.
    """

    __slots__ = ("_request", "caller", "code", "method", "peer", "problem", "reason", "request_id", "rpc", "seconds")

    def __init__(
        self,
        *,
        method: str,
        rpc: Rpc | None,
        code: grpc.StatusCode,
        reason: str,
        problem: str = "",
        seconds: float,
        request_id: str,
        peer: str,
        caller: str = "",
        request: Message | None,
    ) -> None:
        self.method = method
        self.rpc = rpc
        self.code = code
        self.reason = reason
        self.problem = problem
        self.seconds = seconds
        self.request_id = request_id
        self.peer = peer
        self.caller = caller
        self._request = request

    @property
    def repository(self) -> str:
        """The repository that the request named, valid or not, at most 255 characters; empty if it named none."""
        return repository_of(self._request)

    @property
    def validate_only(self) -> bool:
        """Whether it was a delete that was only checked."""
        return is_trial(self._request)


class CallObserver(Protocol):
    """Observes calls, for metrics and logs. Its methods must return at once."""

    def call_started(self, method: str) -> None:
        """A call came in. `call_finished` always follows."""
        ...

    def call_finished(self, call: FinishedCall) -> None:
        """A call ended. It is still the current call (`access.current_call`)."""
        ...
