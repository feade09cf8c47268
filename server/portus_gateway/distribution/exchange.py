"""One HTTP request and its answer: bounded in time and size, retried if that is harmless.

Knows nothing about registries, and does not decide which server may get which credentials: `admission` and `tokens` do.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from portus_gateway.aio import deadline, spans
from portus_gateway.aio.carried_through import carried_through
from portus_gateway.distribution.adaptive_limit import AdaptiveLimit
from portus_gateway.distribution.concealment import NOTHING_CONCEALED, Concealment
from portus_gateway.distribution.configuration import RetryPolicy, Timeouts
from portus_gateway.distribution.connections import SentRequest
from portus_gateway.distribution.error_document import is_transient
from portus_gateway.distribution.errors import (
    AnswerTooLarge,
    DistributionError,
    Unavailable,
    Unreachable,
    UntrustedAnswer,
    UpstreamTimeout,
)
from portus_gateway.distribution.failed_exchange import FailedExchange
from portus_gateway.distribution.observer import UpstreamObserver
from portus_gateway.distribution.open_body import OpenBody
from portus_gateway.distribution.origin import without_secrets
from portus_gateway.distribution.peer import STORAGE, Peer
from portus_gateway.distribution.retry import Backoff, retry_after

# How much is read of an answer that reports an error.
_ERROR_LIMIT = 16 * 1024
_CHUNK = 64 * 1024
# aiohttp stops reading from the connection at twice this size.
_STREAM_BUFFER = 256 * 1024
_SUCCESSES = frozenset({200, 206})
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
    content: bytes = b""
    """The body of the request."""
    open_body: OpenBody | None = None
    """Takes over the body of a successful answer. Only its parts are bounded in time, and its size is not bounded."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. The body of an error (400 and above) is cut at 16 KiB."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes = field(repr=False)
    concealment: Concealment = field(default=NOTHING_CONCEALED, repr=False)
    """Conceals what errors must not show. The answer may repeat a credential of the request."""

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later: a proxy gave up waiting for the server, or it is overloaded.

        The server may still carry the request out.
        """
        return is_transient(self.status, self.body)


class _ConnectionLost(aiohttp.ClientError):
    """The connection ended before an answer began. `kept`: it had served another request before."""

    def __init__(self, *, kept: bool) -> None:
        super().__init__()
        self.kept = kept


async def sent_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """A middleware of the session: keeps aiohttp from sending a request again by itself.

    aiohttp does so when a connection breaks, even for DELETE. A delete that was carried out would then look like a 404.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _ConnectionLost(kept=isinstance(request, SentRequest) and request.over_kept_connection) from error


@dataclass(slots=True)
class Attempt:
    """One of the attempts to get an answer."""

    number: int
    """How many attempts came before this one."""
    kept_connection_broke: bool = False
    """Whether its connection had served another request before, and ended before an answer began."""


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
        self._stream_bounds = aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect, sock_read=timeouts.read)
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
        number = 0
        while True:
            attempt = Attempt(number)
            number += 1
            outcome = await self._attempt(request, credentials, session, attempt)
            if attempt.kept_connection_broke and request.repeatable:
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
            with spans.step("wait before retry"):
                await asyncio.sleep(pause)

    async def _attempt(
        self, request: Request, credentials: Credentials | None, session: aiohttp.ClientSession, attempt: Attempt
    ) -> Answer | Unavailable:
        """The answer, or why there is none now."""
        if request.open_body is not None:
            # It holds the slot of the attempt before this one.
            request.open_body.close()
        await self._slots.acquire()
        try:
            if credentials is not None:
                request.headers.update(await credentials())
            try:
                return await self._observed(request, session, attempt)
            except Unavailable as error:
                return error
        finally:
            if request.open_body is None or not request.open_body.is_open:
                self._slots.release()

    async def _observed(self, request: Request, session: aiohttp.ClientSession, attempt: Attempt) -> Answer:
        span = _begun(request, attempt.number)
        started = time.monotonic()
        outcome = "cancelled"
        try:
            exchange = self._exchange(request, session, attempt)
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
            if span is not None:
                _end(span, outcome)
            self._observer.request_finished(
                method=request.method,
                route=request.route,
                outcome=outcome,
                seconds=time.monotonic() - started,
            )

    async def _carried_through(self, exchange: Coroutine[object, None, Answer]) -> Answer:
        answer, cancellation = await carried_through(exchange)
        if cancellation is not None and 300 <= answer.status < 500 and not answer.is_transient:
            # The request had no effect, and its caller has left.
            raise cancellation
        return answer

    async def _exchange(self, request: Request, session: aiohttp.ClientSession, attempt: Attempt) -> Answer:
        if session.closed:
            raise Unavailable("the client is closing", reason="SHUTTING_DOWN", sent=False)
        failed = FailedExchange(request.peer, request.url, self._timeouts.connect)
        with failed:
            try:
                response = await session.request(
                    request.method,
                    request.url,
                    headers=request.headers,
                    data=request.content or None,
                    proxy=self._proxy_for(request.url),
                    timeout=self._bounds_of(request),
                    allow_redirects=False,
                    read_bufsize=_CHUNK if request.open_body is None else _STREAM_BUFFER,
                )
            except _ConnectionLost as lost:
                attempt.kept_connection_broke = lost.kept
                raise
            if request.open_body is not None and response.status in _SUCCESSES:
                request.open_body.opened(response, failed, self._slots.release, self._observer.blob_read)
                _refuse_compressed(response, request)
                return Answer(response.status, response.headers, b"")
            async with response:
                return Answer(response.status, response.headers, await _body(response, request))

    def _bounds_of(self, request: Request) -> aiohttp.ClientTimeout:
        if request.open_body is not None:
            return self._stream_bounds
        if request.total is None:
            return self._usual_bounds
        return aiohttp.ClientTimeout(total=request.total, sock_connect=self._timeouts.connect, sock_read=request.total)


async def _body(response: aiohttp.ClientResponse, request: Request) -> bytes:
    peer = request.peer.name
    if response.status == 416:
        # Distribution 2.8 announces the length of the whole blob here, and sends less. The header fields say enough.
        response.close()
        return b""
    if response.status >= 400 or request.method == "DELETE":
        # The body of an error is cut and not refused, because the status says what happened.
        return await _at_most(response, _ERROR_LIMIT)
    _refuse_compressed(response, request)
    declared = response.content_length
    if request.method != "HEAD" and declared is not None and declared > request.body_limit:
        raise AnswerTooLarge(f"{peer} announced {declared} bytes; at most {request.body_limit} are allowed here")
    body = await _at_most(response, request.body_limit + 1)
    if len(body) > request.body_limit:
        raise AnswerTooLarge(f"{peer} sent more than the {request.body_limit} bytes that are allowed here")
    return body


def _refuse_compressed(response: aiohttp.ClientResponse, request: Request) -> None:
    if response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise UntrustedAnswer(f"{request.peer.name} sent a compressed answer, although none was asked for")


async def _at_most(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The first `limit` bytes of the body. The rest is never read: the connection is closed."""
    chunks = []
    wanted = limit
    while wanted > 0 and not response.content.at_eof():
        chunk = await response.content.read(min(wanted, _CHUNK))
        chunks.append(chunk)
        wanted -= len(chunk)
    if wanted <= 0:
        response.close()
    return b"".join(chunks)


def _begun(request: Request, number: int) -> spans.Span | None:
    """The span of an attempt, if the call is traced. The peer, if it is not the storage, continues the trace.

    The URL is without its query: storage takes signatures in it, and registries their own cursors.
    """
    parent = spans.current()
    if parent is None:
        return None
    attributes: dict[str, spans.Value] = {
        "http.request.method": request.method,
        "server.address": request.url.host or "",
        "server.port": request.url.port or 0,
        "url.full": without_secrets(request.url),
        "portus.route": request.route,
    }
    if number:
        attributes["http.request.resend_count"] = number
    span = parent.child(f"{request.method} {request.route}", "client", attributes)
    if request.peer is not STORAGE:
        request.headers.update(span.headers)
    return span


def _end(span: spans.Span, outcome: str) -> None:
    if outcome.isdecimal():
        span.set("http.response.status_code", int(outcome))
    # A challenge and a missing tag are ordinary answers.
    fails = not outcome.isdecimal() or (int(outcome) >= 400 and outcome not in ("401", "404"))
    span.end(outcome if fails else "")


def _outcome(error: DistributionError) -> str:
    if isinstance(error, UpstreamTimeout):
        return "timeout"
    return "unreachable" if isinstance(error, Unreachable) else "invalid"
