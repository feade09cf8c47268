"""Keeps room for new connections while somebody opens very many."""

import asyncio
from collections.abc import Callable, Collection
from typing import Final, NoReturn

import structlog

from portus_gateway.rpc.connections import close_surplus

_log = structlog.get_logger(__name__)

# How often to look, in seconds.
_INTERVAL: Final = 0.25


class ConnectionGuard:
    """Looks after the connections to the ports of a server, which takes `most` connections for each of them.

    If more than three quarters of them are taken, it closes some until half are: those of the address that has the
    most, the oldest first. So whoever opens connections without end, or leaves TLS handshakes unfinished, cannot keep
    others out. Those of the peers that `busy` names have calls, and are kept.
    """

    def __init__(self, most: int, busy: Callable[[], Collection[str]]) -> None:
        self._most = most
        self._busy = busy

    async def run(self, ports: Collection[int]) -> NoReturn:
        """Guards `ports` until it is cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL)
            for port in ports:
                try:
                    closed = close_surplus(port, self._busy(), above=self._most * 3 // 4, down_to=self._most // 2)
                except OSError as error:
                    _log.warning("the connections could not be counted", problem=error.strerror)
                    continue
                if closed:
                    _log.warning(
                        "there are nearly as many connections as the gateway takes: some of those without a call were"
                        " closed, of the addresses that have the most",
                        port=port,
                        closed=closed,
                        limit=self._most,
                    )
