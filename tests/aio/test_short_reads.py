"""A connection that sends much at once does not keep the event loop for long."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest
import uvloop

from portus_gateway.aio.short_reads import ShortReads

MEBIBYTE = 1024 * 1024


class Recorder(asyncio.Protocol):
    """Notes how much comes in each turn of the event loop. If it `pauses`, it wants no more after the first part."""

    def __init__(self, *, pauses: bool) -> None:
        self.pauses = pauses
        self.turn = 0
        self.sizes: dict[int, int] = {}
        self.content = b""
        self.ended = asyncio.Event()
        self.paused = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.count_turn()

    def count_turn(self) -> None:
        self.turn += 1
        if not self.ended.is_set():
            asyncio.get_running_loop().call_soon(self.count_turn)

    def data_received(self, data: bytes) -> None:
        self.sizes[self.turn] = self.sizes.get(self.turn, 0) + len(data)
        self.content += data
        if self.pauses and not self.paused.is_set():
            self.transport.pause_reading()
        self.paused.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set()


async def receive(recorder: Recorder) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ShortReads(recorder), "127.0.0.1", 0)
    content = bytes(range(256)) * (MEBIBYTE // 256)
    async with server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            await sent_and_received(writer, recorder, content)
        finally:
            writer.close()
            recorder.transport.abort()
            await recorder.ended.wait()
    assert recorder.content == content


async def sent_and_received(writer: asyncio.StreamWriter, recorder: Recorder, content: bytes) -> None:
    writer.write(content)
    if recorder.pauses:
        await recorder.paused.wait()
        seen, turn = len(recorder.content), recorder.turn
        while recorder.turn < turn + 100:
            await asyncio.sleep(0)
        assert len(recorder.content) == seen
        recorder.transport.resume_reading()
    await writer.drain()
    writer.close()
    async with asyncio.timeout(10):
        await recorder.ended.wait()


@pytest.mark.parametrize("pauses", [False, True])
@pytest.mark.parametrize("new_event_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_little_is_read_in_a_turn_and_everything_in_the_end(
    new_event_loop: Callable[[], asyncio.AbstractEventLoop], pauses: bool
) -> None:
    async def run() -> Recorder:
        recorder = Recorder(pauses=pauses)
        await receive(recorder)
        return recorder

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        recorder = runner.run(run())
    assert max(recorder.sizes.values()) <= 4096
