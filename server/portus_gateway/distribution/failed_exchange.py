"""Converts the errors of the HTTP library to those of this package."""

import os
import socket
import ssl
from types import TracebackType

import aiohttp
from yarl import URL

from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.errors import NotHttp, TooManyOpenFiles, Unreachable, UpstreamTimeout
from portus_gateway.distribution.origin import Origin
from portus_gateway.distribution.peer import Peer
from portus_gateway.distribution.tls_failures import tls_failure


class FailedExchange:
    """A block that talks with `peer` at `url`. Only the operator sees its address.

    Raises the `Unavailable` family, `NotHttp`, and what `tls_failure` makes of TLS errors.
    """

    def __init__(self, peer: Peer, url: URL, connect_timeout: float) -> None:
        self._peer = peer
        self._url = url
        self._connect_timeout = connect_timeout

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            return
        peer, where = self._peer.name, str(Origin.of(self._url))
        match error:
            case aiohttp.ConnectionTimeoutError():
                raise UpstreamTimeout(
                    f"{peer} did not accept a connection within {self._connect_timeout:g} s",
                    operator_detail=where,
                    sent=False,
                ) from error
            case TimeoutError():
                raise UpstreamTimeout(f"{peer} did not answer in time", operator_detail=where) from error
            case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError() | ssl.SSLError():
                raise tls_failure(error, self._peer, where) from error
            case aiohttp.ClientConnectorError():
                if TooManyOpenFiles.is_cause_of(error.os_error):
                    raise TooManyOpenFiles from error
                raise Unreachable(
                    f"no connection to {peer}: {_reason_of(error.os_error)}", operator_detail=where, sent=False
                ) from error
            case aiohttp.ClientHttpProxyError():
                # The `repr` of this error and of the next contains the request with its credential, so they must not be
                # a cause.
                raise Unreachable(
                    f"the proxy between the gateway and {peer} answered {error.status}",
                    operator_detail=where,
                    concern=Concern.ENVIRONMENT_PROXY,
                    sent=False,
                ) from None
            case aiohttp.ClientResponseError():
                raise NotHttp(
                    f"the answer of {peer} is not HTTP", operator_detail=where, concern=self._peer.address
                ) from None
            case aiohttp.ClientError() | ConnectionError():
                raise Unreachable(
                    f"the connection to {peer} was lost before its answer was complete", operator_detail=where
                ) from error


def _reason_of(error: OSError) -> str:
    """Why there is no connection. asyncio's own text contains the address, which callers must not see."""
    if isinstance(error, socket.gaierror):
        return "its host name cannot be resolved"
    return os.strerror(error.errno).lower() if error.errno else "the connection failed"
