"""Connections to the registry's side, which end when it sends interim answers (1xx) without end.

aiohttp passes over any number of them, and over all that have come in one go: nothing else runs meanwhile, and no
time-out holds.
"""

import asyncio
import ssl
from functools import partial

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader

# Nobody sends more than one or two.
_MOST_INTERIM = 8


def connector(tls: ssl.SSLContext, *, keep: bool) -> aiohttp.TCPConnector:
    """Makes connections, without a bound on their number: the slots of `Exchange` are that.

    With `keep` a connection is used for one request after the other, else for one only.
    """
    made = aiohttp.TCPConnector(limit=0, ssl=tls, force_close=not keep)
    # There is no public way to say which protocol a connection speaks. Where this one gets lost, a test fails.
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
