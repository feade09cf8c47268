"""A TCP proxy that holds every byte back for a while, as a network does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


@asynccontextmanager
async def delaying_proxy(url: str, seconds: float) -> AsyncIterator[str]:
    """The address of a proxy to `url`, an http origin; each way takes `seconds`."""
    upstream = urlsplit(url)
    loop = asyncio.get_running_loop()
    connections: set[asyncio.Task[None]] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            # In order: later data has a later time.
            loop.call_later(seconds, writer.write, data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            there_reader, there_writer = await asyncio.open_connection(upstream.hostname, upstream.port)
            ways = [pass_on(reader, there_writer), pass_on(there_reader, writer)]
            await asyncio.wait(map(asyncio.ensure_future, ways), return_when=asyncio.FIRST_COMPLETED)
            there_writer.close()
        finally:
            writer.close()
            connections.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for connection in list(connections):
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
