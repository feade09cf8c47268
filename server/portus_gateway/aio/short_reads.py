"""Reads a connection in short parts, so that no connection keeps the event loop for long."""

import asyncio
from collections.abc import Iterable
from typing import Final, cast

_SIZE: Final = 4096


class ShortReads(asyncio.BufferedProtocol):
    """Hands what comes on a connection to `protocol`: at most 4 KiB in each turn of the event loop.

    A body in chunks of one byte takes the HTTP parser 0.1 ms for each KiB. Without this limit, uvloop reads up to 8 MiB
    of it in one turn, and all callers of the gateway wait for that.
    """

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        self._buffer = bytearray(_SIZE)
        self._transport: _PausedTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of `asyncio.Transport`, but do not derive from it.
        self._transport = _PausedTransport(cast("asyncio.Transport", transport))
        self._protocol.connection_made(self._transport)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if nbytes == _SIZE and self._transport is not None:
            self._transport.pause_for_a_turn()
        self._protocol.data_received(bytes(self._buffer[:nbytes]))

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._protocol.connection_lost(error)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()


class _PausedTransport(asyncio.Transport):
    """`inner`, which is read if both the protocol and `ShortReads` want it."""

    def __init__(self, inner: asyncio.Transport) -> None:
        super().__init__()
        self._inner = inner
        self._is_wanted = True
        self._is_paused = False

    def pause_for_a_turn(self) -> None:
        """Reads nothing until the next turn of the event loop."""
        self._inner.pause_reading()
        self._is_paused = True
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._is_paused = False
        if self._is_wanted and not self._inner.is_closing():
            self._inner.resume_reading()

    def pause_reading(self) -> None:
        self._is_wanted = False
        if not self._is_paused:
            self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._is_wanted = True
        if not self._is_paused:
            self._inner.resume_reading()

    def is_reading(self) -> bool:
        return self._is_wanted

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self._inner.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._inner.is_closing()

    def close(self) -> None:
        self._inner.close()

    def abort(self) -> None:
        self._inner.abort()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._inner.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self._inner.writelines(list_of_data)

    def get_write_buffer_size(self) -> int:
        return self._inner.get_write_buffer_size()
