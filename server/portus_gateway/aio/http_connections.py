"""Bounds the connections of an HTTP server."""

import asyncio

from aiohttp import web


def bounded_connection(server: web.Server, most: int) -> web.RequestHandler:
    """The protocol for one more connection to `server`. If there are `most` already, the oldest are closed.

    So whoever holds connections can neither keep others out nor use up the file descriptors of the process.
    """
    # Many connections may be accepted at once. The server counts them only after that.
    asyncio.get_running_loop().call_soon(_close_oldest, server, most)
    return server()


def _close_oldest(server: web.Server, most: int) -> None:
    connections = server.connections
    # One place is for the new one.
    for oldest in connections[: max(0, len(connections) - most + 1)]:
        oldest.force_close()
