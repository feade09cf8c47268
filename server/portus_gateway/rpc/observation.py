"""What the gateway tells whoever counts and logs calls."""

from dataclasses import dataclass
from typing import Protocol

import grpc


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedCall:
    """A call that ended.

    `method` is the full name, `/portus.registry.v1.RegistryService/Catalog`; only methods that exist are observed.
    `reason` is the ErrorInfo's, empty where the call went well or its caller went away. `seconds` is how long it took.
    `repository` is what the request named, as it stood there (at most 255 characters), empty where it named none.
    """

    method: str
    code: grpc.StatusCode
    reason: str
    seconds: float
    request_id: str
    peer: str
    repository: str


class CallObserver(Protocol):
    """Is told of calls: metrics and logs, without the servicers knowing of any. Must return at once."""

    def call_started(self, method: str) -> None:
        """A call came in. `call_finished` follows, whatever becomes of it."""
        ...

    def call_finished(self, call: FinishedCall) -> None:
        """A call ended; its request id is still in `rpc.request_id.current`."""
        ...
