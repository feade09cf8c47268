"""Connections to the registry and the token service.

They close when a server sends interim answers (1xx) endlessly. aiohttp skips any number of them, and all that have
arrived in one go. Meanwhile nothing else runs, and time limits do not work.

A request knows whether it went over a kept connection (`SentRequest`).
"""

import asyncio
import ssl
from functools import partial

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader
from aiohttp.tracing import Trace

# Servers send one or two.
_MOST_INTERIM = 8


class SentRequest(aiohttp.ClientRequest):
    """A request of a session whose connections come from `connector`."""

    over_kept_connection = False
    """Whether its connection had served another request before."""


def connector(tls: ssl.SSLContext, *, keep: bool) -> aiohttp.TCPConnector:
    """Makes connections. Their number is bounded by the slots of `Exchange`, and not here.

    With `keep`, a connection is kept for further requests. Without, each request has a connection of its own.
    """
    made = _Connector(limit=0, ssl=tls, force_close=not keep)
    # aiohttp has no public way to set the protocol of a connection. A test fails if this one stops working.
    made._factory = partial(_bounded, asyncio.get_running_loop())
    return made


def _bounded(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return _BoundedResponses(loop)


class _Connector(aiohttp.TCPConnector):
    # aiohttp's traces tell the same, but they cost a tenth of a request.
    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  (aiohttp's own parameter)
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        protocol = connection.protocol
        if isinstance(req, SentRequest) and isinstance(protocol, _BoundedResponses):
            req.over_kept_connection = protocol.was_used
            protocol.was_used = True
        return connection


class _BoundedResponses(ResponseHandler):
    was_used = False
    _interim = 0

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        self._interim = self._interim + 1 if data[0].code < 200 else 0
        if self._interim <= _MOST_INTERIM:
            super().feed_data(data, size)
        elif self._interim == _MOST_INTERIM + 1:
            self.close()
            self.set_exception(aiohttp.ServerDisconnectedError("interim answers without end"))
