"""Receives the registry's notifications over HTTP, on a port of its own.

A registry sends one event at a time, and repeats it until the answer is 2xx: our answer's time limits its rate, and an
answer of 4xx would block all later events. So a request is answered as soon as the store has its marks, and nothing
that a registry may send is refused.
"""

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from portus_gateway.access.errors import KeysUnavailable
from portus_gateway.aio import spans
from portus_gateway.aio.http_server import HttpServer
from portus_gateway.index.errors import StoreError
from portus_gateway.index.notification import Envelope, NotAnEnvelope, parse_envelope
from portus_gateway.index.observer import IndexObserver
from portus_gateway.index.store import Notice
from portus_gateway.listen_address import ListenAddress

_log = structlog.get_logger(__name__)

PATH: Final = "/notifications"
# An event has about 1 KiB; with `includereferences`, one reference for each layer more.
_BODY_LIMIT: Final = 1024 * 1024
# From this size on, one body is read at a time: the largest ones take some 30 ms.
_LARGE: Final = 64 * 1024
# What aiohttp raises for a body that does not come to its end.
_BROKEN: Final = (ConnectionError, web.RequestPayloadError, HttpProcessingError)
# One more takes the place of the oldest, so that nobody can keep the registries out.
_MOST_CONNECTIONS: Final = 256
# All in seconds. A registry makes a new connection for each event.
_LONGEST_CONNECTION: Final = 30.0
_READING: Final = 5.0
# A registry waits for one second, unless it is told otherwise.
_COMMIT: Final = 0.8
# How many requests one transaction takes in.
_MOST_AT_ONCE: Final = 256


class TokenSource(Protocol):
    """Knows the tokens that registries may send (`access.token_file`)."""

    async def authenticate(self, token: str) -> object | None: ...


class Marks(Protocol):
    """Takes in what notifications say."""

    async def notify(self, notices: Sequence[Notice], instances: Sequence[str]) -> int:
        """As `IndexStore.notify`. Raises `StoreError`."""
        ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    notices: Sequence[Notice]
    instances: Sequence[str]
    taken: "asyncio.Future[None]"


class Receiver(HttpServer):
    """Serves `POST /notifications` on `listen`; an async context manager. Raises `OSError` where it cannot listen.

    Requests need one of `tokens`. Requests that come at the same time are one transaction of `marks`.
    """

    def __init__(
        self,
        marks: Marks,
        tokens: TokenSource,
        listen: ListenAddress,
        observer: IndexObserver,
        tls: ssl.SSLContext | None = None,
        tracer: spans.Tracer | None = None,
    ) -> None:
        self._marks = marks
        self._tokens = tokens
        self._observer = observer
        self._tracer = tracer
        self._waiting: list[_Waiting] = []
        self._committing: asyncio.Task[None] | None = None
        self._warned = False
        self._parsing = asyncio.Lock()
        application = web.Application(client_max_size=_BODY_LIMIT)
        application.router.add_post(PATH, self._answer)
        super().__init__(
            application,
            listen,
            most_connections=_MOST_CONNECTIONS,
            # One that sends nothing must not keep its place.
            longest_connection=_LONGEST_CONNECTION,
            keepalive=15.0,
            tls=tls,
            longest_handshake=_READING,
        )

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        if self._committing is not None:
            self._committing.cancel()
            await asyncio.gather(self._committing, return_exceptions=True)

    async def _answer(self, request: web.Request) -> web.Response:
        if not await self._is_authorized(request):
            self._observer.notification_request("unauthorized")
            self._warn_of_unauthorized(request.remote or "")
            return web.Response(
                status=HTTPStatus.UNAUTHORIZED,
                headers={"WWW-Authenticate": "Bearer"},
                text="the header `Authorization: Bearer <token>` is missing, or its token is not valid\n",
            )
        attributes = {"http.request.method": "POST", "http.route": PATH, "client.address": request.remote or ""}
        with spans.root_step(self._tracer, f"POST {PATH}", "server", attributes) as span:
            response = await self._take_in(request)
            if span is not None:
                span.set("http.response.status_code", response.status)
        return response

    async def _take_in(self, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(_READING):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            self._observer.notification_request("too_large")
            # A registry would repeat it for ever. What it said is found by the walk.
            await _rest_read(request)
            return web.Response(status=HTTPStatus.ACCEPTED)
        except TimeoutError:
            return web.Response(status=HTTPStatus.REQUEST_TIMEOUT)
        except _BROKEN:
            # The client has gone, or its body is no HTTP. aiohttp would log a traceback for each.
            self._observer.notification_request("malformed")
            return web.Response(status=HTTPStatus.BAD_REQUEST)
        try:
            envelope = await self._parsed(body)
        except NotAnEnvelope:
            self._observer.notification_request("malformed")
            return web.Response(status=HTTPStatus.ACCEPTED)
        self._observer.notified("ignored", envelope.ignored)
        self._observer.notified("invalid", envelope.invalid)
        if not envelope.notices and not envelope.instances:
            self._observer.notification_request("accepted")
            return web.Response(status=HTTPStatus.ACCEPTED)
        try:
            async with asyncio.timeout(_COMMIT):
                await self._commit(envelope.notices, envelope.instances)
        except (StoreError, TimeoutError):
            # The registry keeps the event, and sends it again.
            self._observer.notification_request("store_unavailable")
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
        self._observer.notified("accepted", len(envelope.notices))
        self._observer.notification_request("accepted")
        return web.Response(status=HTTPStatus.ACCEPTED)

    async def _parsed(self, body: bytes) -> Envelope:
        """Raises `NotAnEnvelope`."""
        if len(body) < _LARGE:
            return parse_envelope(body)
        async with self._parsing:
            # Others have their turn between two large ones.
            await asyncio.sleep(0)
            return parse_envelope(body)

    async def _is_authorized(self, request: web.Request) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return False
        try:
            return await self._tokens.authenticate(token.strip()) is not None
        except KeysUnavailable:
            return False

    def _warn_of_unauthorized(self, peer: str) -> None:
        # Once: a registry repeats its request for ever.
        if not self._warned:
            self._warned = True
            _log.warning(
                "a notification came without a valid token and was refused: its registry cannot send later ones either."
                " Set `headers: Authorization: [Bearer <token>]` at its endpoint",
                peer=peer,
            )

    async def _commit(self, notices: Sequence[Notice], instances: Sequence[str]) -> None:
        """Returns when the store has it. Raises `StoreError`."""
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(notices, instances, taken))
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit_all())
        await taken

    async def _commit_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
            batch = [each for each in batch if not each.taken.done()]
            notices = [notice for each in batch for notice in each.notices]
            instances = list(dict.fromkeys(instance for each in batch for instance in each.instances))
            try:
                dropped = await self._marks.notify(notices, instances)
            except StoreError as error:
                for each in batch:
                    if not each.taken.done():
                        each.taken.set_exception(error)
                continue
            if dropped:
                self._observer.notified("unknown_repository_dropped", dropped)
            for each in batch:
                if not each.taken.done():
                    each.taken.set_result(None)


async def _rest_read(request: web.Request) -> None:
    """Reads the rest of the body, for a limited time: a client that still sends may not see the answer."""
    with suppress(TimeoutError, *_BROKEN):
        async with asyncio.timeout(_READING):
            while not request.content.at_eof():
                await request.content.readany()
