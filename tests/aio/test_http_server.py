"""An HTTP server leaves no connection open at its end."""

import asyncio
import gc
import socket

import pytest
from aiohttp import web

from portus_gateway.aio.http_server import HttpServer
from portus_gateway.devregistry import DevRegistry
from portus_gateway.listen_address import ListenAddress

# A connection is accepted in one turn of the event loop, and known to aiohttp some turns later.
TURNS = range(6)


async def connect(port: int, turns: int) -> None:
    """A client that comes so many turns of the event loop before the end, and goes at once."""
    socket.create_connection(("127.0.0.1", port)).close()
    for _ in range(turns):
        await asyncio.sleep(0)


def check_that_nothing_is_open() -> None:
    # pytest makes an error of the warning that an open connection causes.
    gc.collect()


@pytest.mark.parametrize("turns", TURNS)
async def test_a_connection_that_is_accepted_at_the_end_is_closed(turns: int) -> None:
    async with HttpServer(web.Application(), ListenAddress("127.0.0.1", 0), most_connections=4) as server:
        await connect(server.address.port, turns)
    check_that_nothing_is_open()


@pytest.mark.parametrize("turns", TURNS)
async def test_the_registry_in_memory_closes_it_too(turns: int) -> None:
    async with DevRegistry(auth="anonymous") as registry:
        await connect(int(registry.url.rpartition(":")[2]), turns)
    check_that_nothing_is_open()
