"""The HTTP server that strangers can reach: metrics, probes and notifications."""

import asyncio
import gc
import gzip
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from portus_gateway.aio.http_server import HttpServer
from portus_gateway.listen_address import ListenAddress
from tests.index.registries import until

MEBIBYTE = 1024 * 1024


class Application:
    """Answers with the number of bytes in the request's body."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.set()
        return web.Response(text=str(len(await request.read())))


@asynccontextmanager
async def serving(
    handler: Application, most_connections: int = 8, longest_connection: float | None = None
) -> AsyncGenerator[ListenAddress, None]:
    application = web.Application(client_max_size=64 * MEBIBYTE)
    application.router.add_post("/", handler.answer)
    async with HttpServer(
        application,
        ListenAddress("127.0.0.1", 0),
        most_connections=most_connections,
        longest_connection=longest_connection,
    ) as server:
        yield server.address


async def test_connections_from_one_address_do_not_close_those_from_another() -> None:
    handler = Application()
    async with serving(handler, most_connections=4) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n1")
        await handler.asked.wait()
        flood = [
            await asyncio.open_connection(address.host, address.port, local_addr=("127.0.0.2", 0)) for _ in range(20)
        ]
        # All but the last ones of the flood are closed again.
        async with asyncio.timeout(5):
            assert await asyncio.gather(*(each.read() for each, _ in flood[:16])) == [b""] * 16
        writer.write(b"2")
        async with asyncio.timeout(5):
            assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
        for _, each in [*flood, (reader, writer)]:
            each.close()


async def test_a_connection_takes_no_memory_after_its_end() -> None:
    before = connections_in_memory()
    async with serving(Application(), longest_connection=60.0) as address:
        for _ in range(100):
            _, writer = await asyncio.open_connection(address.host, address.port)
            writer.close()
            await writer.wait_closed()
        await until(lambda: connections_in_memory() < before + 10)


def connections_in_memory() -> int:
    gc.collect()
    return sum(isinstance(each, web.RequestHandler) for each in gc.get_objects())


async def test_a_compressed_body_is_not_decompressed() -> None:
    bomb = gzip.compress(bytes(8 * MEBIBYTE))
    async with serving(Application()) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + bomb)
        assert (await reader.read()).endswith(f"\r\n\r\n{len(bomb)}".encode())
        writer.close()


async def test_connections_are_read_in_short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    received = web.RequestHandler.data_received

    def data_received(connection: web.RequestHandler, data: bytes) -> None:
        sizes.append(len(data))
        received(connection, data)

    monkeypatch.setattr(web.RequestHandler, "data_received", data_received)
    async with serving(Application()) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        writer.write(head + b"1\r\na\r\n" * 10_000 + b"0\r\n\r\n")
        assert (await reader.read()).endswith(b"\r\n\r\n10000")
        writer.close()
    assert max(sizes) <= 4096


async def test_a_body_is_not_read_after_its_answer() -> None:
    async with HttpServer(web.Application(), ListenAddress("127.0.0.1", 0), most_connections=8) as server:
        reader, writer = await asyncio.open_connection(server.address.host, server.address.port)
        writer.write(b"POST /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        # aiohttp itself goes on to read for ten seconds.
        async with asyncio.timeout(5):
            assert b" 404 Not Found" in await reader.read()
        writer.close()


@pytest.mark.parametrize(
    "request_of_a_stranger", [b"rubbish\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1000, b"\x16\x03\x01\0\0\r\n"]
)
async def test_what_is_no_http_is_refused_without_a_traceback_in_the_log(
    request_of_a_stranger: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with serving(Application()) as address:
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(request_of_a_stranger + b"\r\n")
            assert b" 400 Bad Request" in await reader.read()
            writer.close()
    assert caplog.records == []


async def test_a_fault_of_our_own_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(_: web.Request) -> web.Response:
        raise ValueError("a fault")

    application = web.Application()
    application.router.add_post("/", fail)
    async with HttpServer(application, ListenAddress("127.0.0.1", 0), most_connections=8) as server:
        reader, writer = await asyncio.open_connection(server.address.host, server.address.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b" 500 Internal Server Error" in await reader.read()
        writer.close()
    assert "a fault" in caplog.text


async def test_a_port_that_is_taken_is_an_error_that_names_it() -> None:
    async with serving(Application()) as address:
        second = HttpServer(web.Application(), address, most_connections=8)
        with pytest.raises(OSError, match=f"cannot listen on {address}: the address is in use"):
            await second.__aenter__()
