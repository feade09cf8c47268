"""Tells clients when to try again (gRFC A6, "Pushback"): otherwise their retries and the gateway's own multiply."""

from typing import Final

from portus_gateway.distribution.errors import Unavailable
from portus_gateway.errors import GatewayError
from portus_gateway.rpc.call_errors import ShuttingDown, TooManyCalls

METADATA_KEY: Final = "grpc-retry-pushback-ms"

_NEVER: Final = "-1"
# By then, a gateway that stops has sent GOAWAY on its connections, so the next try reaches another one.
_AFTER_SHUTDOWN: Final = "200"


def retry_pushback(error: GatewayError) -> str | None:
    """What the trailing metadata says about retries of a call that failed with `error`. None: the client decides.

    Requests to the registry have been repeated as often as PORTUS_UPSTREAM_ATTEMPTS allows, and a delete must not be
    repeated: -1 ends the client's retries. Where a later try can succeed, it is the number of milliseconds to wait.
    """
    if isinstance(error, ShuttingDown):
        return _AFTER_SHUTDOWN
    if isinstance(error, Unavailable):
        return _NEVER
    if isinstance(error, TooManyCalls) and error.retry_after is not None:
        return str(int(1000 * error.retry_after))
    return None
