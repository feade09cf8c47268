"""Connections to the registry and the token service, which close when a server sends interim answers (1xx) endlessly.

aiohttp skips any number of them, and all that have arrived in one go. Meanwhile nothing else runs, and time limits do
not work.
"""

import asyncio
import ssl
from functools import partial

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader

# Servers send one or two.
_MOST_INTERIM = 8


def connector(tls: ssl.SSLContext, *, keep: bool) -> aiohttp.TCPConnector:
    """Makes connections. Their number is bounded by the slots of `Exchange`, and not here.

    With `keep`, a connection is kept for further requests. Without, each request has a connection of its own.
    """
    made = aiohttp.TCPConnector(limit=0, ssl=tls, force_close=not keep)
    # aiohttp has no public way to set the protocol of a connection. A test fails if this one stops working.
    made._factory = partial(_bounded, asyncio.get_running_loop())
    return made


def _bounded(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return _BoundedResponses(loop)


class _BoundedResponses(ResponseHandler):
    _interim = 0

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        self._interim = self._interim + 1 if data[0].code < 200 else 0
        if self._interim <= _MOST_INTERIM:
            super().feed_data(data, size)
        elif self._interim == _MOST_INTERIM + 1:
            self.close()
            self.set_exception(aiohttp.ServerDisconnectedError("interim answers without end"))
