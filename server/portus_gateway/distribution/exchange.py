"""One HTTP request and its answer: bounded in time and size, retried if that is harmless.

Knows nothing about registries, and does not decide which server may get which credentials: `admission` and `tokens` do.
"""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from portus_gateway.aio import deadline
from portus_gateway.aio.carried_through import carried_through
from portus_gateway.distribution.adaptive_limit import AdaptiveLimit
from portus_gateway.distribution.concealment import Concealment
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.configuration import RetryPolicy, Timeouts
from portus_gateway.distribution.error_document import is_transient
from portus_gateway.distribution.errors import (
    AnswerTooLarge,
    DistributionError,
    NotHttp,
    TooManyOpenFiles,
    Unavailable,
    Unreachable,
    UntrustedAnswer,
    UpstreamTimeout,
)
from portus_gateway.distribution.observer import UpstreamObserver
from portus_gateway.distribution.origin import Origin
from portus_gateway.distribution.peer import Peer
from portus_gateway.distribution.retry import Backoff, retry_after
from portus_gateway.distribution.tls_failures import tls_failure

# How much is read of an answer that reports an error.
_ERROR_LIMIT = 16 * 1024
_CHUNK = 64 * 1024
_OVERLOADED = frozenset({429, 503})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An HTTP request. `headers` may contain a credential, so they are not in the `repr`."""

    method: str
    url: URL
    route: str
    peer: Peer
    headers: CIMultiDict[str] = field(repr=False)
    body_limit: int
    """How many bytes a successful answer may have."""
    repeatable: bool
    """Whether it may be sent twice."""
    total: float | None = None
    """Time limit in seconds, if the usual ones do not fit."""

    @property
    def where(self) -> str:
        """The address, for `operator_detail`."""
        return str(Origin.of(self.url))


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. The body of an error (400 and above) is cut at 16 KiB."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes = field(repr=False)
    concealment: Concealment = field(default_factory=Concealment, repr=False)
    """Conceals what errors must not show. The answer may repeat a credential of the request."""

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later: a proxy gave up waiting for the server, or it is overloaded.

        The server may still carry the request out.
        """
        return is_transient(self.status, self.body)


class _ConnectionLost(aiohttp.ClientError):
    """The connection ended before an answer began."""


async def sent_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """A middleware of the session: keeps aiohttp from sending a request again by itself.

    aiohttp does so when a connection breaks, even for DELETE. A delete that was carried out would then look like a 404.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _ConnectionLost from error


@dataclass(slots=True)
class Connection:
    """What became of the connection of one attempt."""

    is_kept: bool = False
    """Whether it had served another request before."""
    broke: bool = False
    """Whether it ended before an answer began."""


def connection_traces() -> aiohttp.TraceConfig:
    """Makes a session note in the `Connection` of a request whether that is a kept one."""

    async def note(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        if isinstance(context.trace_request_ctx, Connection):
            context.trace_request_ctx.is_kept = True

    traces = aiohttp.TraceConfig()
    traces.on_connection_reuseconn.append(note)
    return traces


Credentials = Callable[[], Awaitable[Mapping[str, str]]]
"""Gives the header fields that show the account."""


class Exchange:
    """Sends requests over one session, as many at a time as `slots` has.

    `fresh_session` opens a new connection for each request. It is used after a kept connection broke: others may be
    broken, too.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        fresh_session: aiohttp.ClientSession,
        slots: AdaptiveLimit,
        *,
        timeouts: Timeouts,
        retries: RetryPolicy,
        observer: UpstreamObserver,
        proxy_for: Callable[[URL], URL | None] = lambda _: None,
    ) -> None:
        self._proxy_for = proxy_for
        self._session = session
        self._fresh_session = fresh_session
        self._slots = slots
        self._timeouts = timeouts
        self._usual_bounds = aiohttp.ClientTimeout(
            total=timeouts.total, sock_connect=timeouts.connect, sock_read=timeouts.read
        )
        self._retries = retries
        self._observer = observer

    async def send(self, request: Request, credentials: Credentials | None = None) -> Answer:
        """The answer, whatever its status.

        Asks again, after a pause, on broken connections, 429 and what `Answer.is_transient`, if the request is
        repeatable and the caller's deadline leaves time for it. A kept connection that broke does not count as an
        attempt: the request is sent over a new one at once. Once a request that is not repeatable is sent, it is
        completed, even if its task is cancelled: its outcome must become known.

        `credentials` is called when the request has its slot, so that they do not expire while it waits. Raises the
        `Unavailable` family, `UntrustedAnswer`, `WrongAddress`, and what `credentials` raises.
        """
        backoff = Backoff(self._retries if request.repeatable else RetryPolicy(attempts=1))
        session = self._session
        while True:
            connection = Connection()
            outcome = await self._attempt(request, credentials, session, connection)
            if connection.is_kept and connection.broke and request.repeatable:
                session = self._fresh_session
                self._observer.retried(route=request.route)
                continue
            if isinstance(outcome, Answer):
                if outcome.status != 429 and not outcome.is_transient:
                    return outcome
                pause = backoff.next_pause(retry_after(outcome.headers))
            else:
                pause = None if isinstance(outcome, UpstreamTimeout) and outcome.sent else backoff.next_pause()
            if pause is None or not deadline.allows(pause):
                if isinstance(outcome, Unavailable):
                    raise outcome
                return outcome
            self._observer.retried(route=request.route)
            await asyncio.sleep(pause)

    async def _attempt(
        self, request: Request, credentials: Credentials | None, session: aiohttp.ClientSession, connection: Connection
    ) -> Answer | Unavailable:
        """The answer, or why there is none now."""
        await self._slots.acquire()
        try:
            if credentials is not None:
                request.headers.update(await credentials())
            try:
                return await self._observed(request, session, connection)
            except Unavailable as error:
                return error
        finally:
            self._slots.release()

    async def _observed(self, request: Request, session: aiohttp.ClientSession, connection: Connection) -> Answer:
        started = time.monotonic()
        outcome = "cancelled"
        try:
            exchange = self._exchange(request, session, connection)
            answer = await (exchange if request.repeatable else self._carried_through(exchange))
            outcome = str(answer.status)
            if answer.status in _OVERLOADED:
                self._slots.overloaded(started)
            else:
                self._slots.answered()
            return answer
        except DistributionError as error:
            outcome = _outcome(error)
            if isinstance(error, UpstreamTimeout) and error.sent:
                self._slots.overloaded(started)
            raise
        finally:
            self._observer.request_finished(
                method=request.method,
                route=request.route,
                outcome=outcome,
                seconds=time.monotonic() - started,
            )

    def _bounds(self, total: float) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=total, sock_connect=self._timeouts.connect, sock_read=total)

    async def _carried_through(self, exchange: Coroutine[object, None, Answer]) -> Answer:
        answer, cancellation = await carried_through(exchange)
        if cancellation is not None and 300 <= answer.status < 500 and not answer.is_transient:
            # The request had no effect, and its caller has left.
            raise cancellation
        return answer

    async def _exchange(self, request: Request, session: aiohttp.ClientSession, connection: Connection) -> Answer:
        if session.closed:
            raise Unavailable("the client is closing", reason="SHUTTING_DOWN", sent=False)
        peer = request.peer.name
        try:
            async with session.request(
                request.method,
                request.url,
                headers=request.headers,
                proxy=self._proxy_for(request.url),
                timeout=self._usual_bounds if request.total is None else self._bounds(request.total),
                allow_redirects=False,
                trace_request_ctx=connection,
            ) as response:
                return Answer(response.status, response.headers, await _body(response, request))
        except aiohttp.ConnectionTimeoutError as error:
            raise UpstreamTimeout(
                f"{peer} did not accept a connection within {self._timeouts.connect:g} s",
                operator_detail=request.where,
                sent=False,
            ) from error
        except TimeoutError as error:
            raise UpstreamTimeout(f"{peer} did not answer in time", operator_detail=request.where) from error
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise tls_failure(error, request.peer, request.where) from error
        except aiohttp.ClientConnectorError as error:
            if TooManyOpenFiles.is_cause_of(error.os_error):
                raise TooManyOpenFiles from error
            raise Unreachable(
                f"no connection to {peer}: {_reason_of(error.os_error)}", operator_detail=request.where, sent=False
            ) from error
        except aiohttp.ClientHttpProxyError as error:
            # The `repr` of this error and of the next contains the request with its credential, so they must not be a
            # cause.
            raise Unreachable(
                f"the proxy between the gateway and {peer} answered {error.status}",
                operator_detail=request.where,
                concern=Concern.ENVIRONMENT_PROXY,
                sent=False,
            ) from None
        except aiohttp.ClientResponseError:
            raise NotHttp(
                f"the answer of {peer} is not HTTP", operator_detail=request.where, concern=request.peer.address
            ) from None
        except (aiohttp.ClientError, ConnectionError) as error:
            connection.broke = isinstance(error, _ConnectionLost)
            raise Unreachable(
                f"the connection to {peer} was lost before its answer was complete", operator_detail=request.where
            ) from error


async def _body(response: aiohttp.ClientResponse, request: Request) -> bytes:
    peer = request.peer.name
    if response.status >= 400 or request.method == "DELETE":
        # The body of an error is cut and not refused, because the status says what happened.
        return await _at_most(response, _ERROR_LIMIT)
    if response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise UntrustedAnswer(f"{peer} sent a compressed answer, although none was asked for")
    declared = response.content_length
    if request.method != "HEAD" and declared is not None and declared > request.body_limit:
        raise AnswerTooLarge(f"{peer} announced {declared} bytes; at most {request.body_limit} are allowed here")
    body = await _at_most(response, request.body_limit + 1)
    if len(body) > request.body_limit:
        raise AnswerTooLarge(f"{peer} sent more than the {request.body_limit} bytes that are allowed here")
    return body


async def _at_most(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The first `limit` bytes of the body. The rest is never read: the connection is closed."""
    chunks = []
    wanted = limit
    while wanted > 0 and (chunk := await response.content.read(min(wanted, _CHUNK))):
        chunks.append(chunk)
        wanted -= len(chunk)
    if wanted <= 0:
        response.close()
    return b"".join(chunks)


def _outcome(error: DistributionError) -> str:
    if isinstance(error, UpstreamTimeout):
        return "timeout"
    return "unreachable" if isinstance(error, Unreachable) else "invalid"


def _reason_of(error: OSError) -> str:
    """Why there is no connection. asyncio's own text contains the address, which callers must not see."""
    if isinstance(error, socket.gaierror):
        return "its host name cannot be resolved"
    return os.strerror(error.errno).lower() if error.errno else "the connection failed"
