"""A gRPC client that does what no library lets one do: it speaks HTTP/2 frame by frame (RFC 9113)."""

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM: Final = 1
END_HEADERS: Final = 4
ACK: Final = 1

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_INITIAL_WINDOW_SIZE: Final = 4
_LARGEST_FRAME: Final = 16_384

Metadata = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes


class RawConnection:
    """One connection. Unless it is read, it acknowledges nothing."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._next_stream = 1

    @classmethod
    @asynccontextmanager
    async def open(cls, address: str, *, window: int) -> AsyncIterator[Self]:
        """Connects. `window` is how many bytes of each answer the server may send."""
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        connection = cls(reader, writer)
        try:
            writer.write(_PREFACE)
            connection.send(SETTINGS, 0, 0, struct.pack(">HI", _INITIAL_WINDOW_SIZE, window))
            connection.send(SETTINGS, ACK, 0, b"")
            await writer.drain()
            yield connection
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    def send(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self._writer.write(
            struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload
        )

    async def call(
        self,
        method: str,
        message: bytes | None,
        *,
        metadata: Metadata = (),
        compressed: bool = False,
    ) -> int:
        """Calls a method; answers with the stream. Without `message`, no request follows the metadata."""
        stream = self._next_stream
        self._next_stream += 2
        headers = (
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", "gateway"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *metadata,
        )
        self.send(HEADERS, END_HEADERS, stream, b"".join(_field(name, value) for name, value in headers))
        if message is not None:
            body = bytes([compressed]) + struct.pack(">I", len(message)) + message
            for start in range(0, len(body), _LARGEST_FRAME):
                part = body[start : start + _LARGEST_FRAME]
                last = start + len(part) == len(body)
                self.send(DATA, END_STREAM if last else 0, stream, part)
        await self._writer.drain()
        return stream

    async def sent(self) -> None:
        """Waits until what was sent has left."""
        await self._writer.drain()

    async def frames(self) -> AsyncIterator[Frame]:
        """What the server sends, to the end of the connection. Pings are answered."""
        try:
            while True:
                head = await self._reader.readexactly(9)
                payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
                frame = Frame(head[3], head[4], int.from_bytes(head[5:9], "big"), payload)
                if frame.kind == PING and not frame.flags & ACK:
                    self.send(PING, ACK, 0, payload)
                yield frame
        except (asyncio.IncompleteReadError, ConnectionError):
            return


def _field(name: str, value: str) -> bytes:
    """A header field, as a literal without indexing (RFC 7541, 6.2.2)."""
    return b"\x00" + _string(name.encode()) + _string(value.encode())


def _string(content: bytes) -> bytes:
    """A string, not Huffman coded (RFC 7541, 5.2)."""
    left = len(content)
    if left < 127:
        return bytes([left]) + content
    size = [127]
    left -= 127
    while left >= 128:
        size.append(left % 128 + 128)
        left //= 128
    size.append(left)
    return bytes(size) + content
