"""Whatever was raised, as an error that a caller may see."""

import asyncio

import structlog

from portus_gateway.access.current_call import current_request_id
from portus_gateway.errors import GatewayError
from portus_gateway.rpc.call_errors import Bug, WaitInterrupted

_log = structlog.get_logger(__name__)


def known_error(error: BaseException, method: str) -> GatewayError:
    """The error to answer a call of `method` with. Logs the traceback of an error that nobody expected.

    A cancellation is one of something that the call waited for: the cancellation of the call itself has no answer.
    """
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, asyncio.CancelledError):
        return WaitInterrupted()
    identifier = current_request_id()
    _log.error("a call failed unexpectedly", method=method, request_id=identifier, exc_info=error)
    return Bug(identifier)
