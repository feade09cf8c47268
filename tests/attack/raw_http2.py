"""A gRPC client that does what no library lets one do: it speaks HTTP/2 frame by frame (RFC 9113)."""

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM: Final = 1
END_HEADERS: Final = 4
ACK: Final = 1

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_INITIAL_WINDOW_SIZE: Final = 4
_LARGEST_FRAME: Final = 16_384
_DEFAULT_WINDOW: Final = 65_535
_CANCEL: Final = 8

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

    def next_stream(self) -> int:
        """The number of a new stream."""
        self._next_stream += 2
        return self._next_stream - 2

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
        stream = self.next_stream()
        self.send(HEADERS, END_HEADERS, stream, call_headers(method, metadata))
        if message is not None:
            body = bytes([compressed]) + struct.pack(">I", len(message)) + message
            for start in range(0, len(body), _LARGEST_FRAME):
                part = body[start : start + _LARGEST_FRAME]
                last = start + len(part) == len(body)
                self.send(DATA, END_STREAM if last else 0, stream, part)
        await self._writer.drain()
        return stream

    async def reset_at_once(self, method: str) -> None:
        """Calls a method, and ends the call before anybody can answer (CVE-2023-44487)."""
        stream = await self.call(method, None)
        self.send(RST_STREAM, 0, stream, struct.pack(">I", _CANCEL))

    async def unfinished(self, method: str, size: int, windows: "Windows") -> None:
        """Calls a method, and sends all of a message of `size` bytes but the last, as fast as the windows allow.

        Raises `TimeoutError` where the server's windows stay shut for a second, `ConnectionError` where it resets the
        call.
        """
        stream = await self.call(method, None)
        rest = memoryview(b"\0" + struct.pack(">I", size) + b"x" * (size - 1))
        while rest:
            part = rest[: await windows.room(stream, min(len(rest), _LARGEST_FRAME))]
            self.send(DATA, 0, stream, bytes(part))
            rest = rest[len(part) :]
            await self._writer.drain()

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


class Windows:
    """How much data the server takes, of the whole connection and of each stream (RFC 9113, 5.2)."""

    def __init__(self) -> None:
        self._connection = _DEFAULT_WINDOW
        self._initial = _DEFAULT_WINDOW
        self._streams: dict[int, int] = {}
        self._reset: set[int] = set()
        self._changed = asyncio.Event()

    async def follow(self, connection: RawConnection) -> None:
        """Reads what the server sends, to the end of the connection."""
        async for frame in connection.frames():
            if frame.kind == WINDOW_UPDATE:
                (more,) = struct.unpack(">I", frame.payload)
                if frame.stream:
                    self._streams[frame.stream] = self._streams.get(frame.stream, self._initial) + more
                else:
                    self._connection += more
            elif frame.kind == SETTINGS and not frame.flags & ACK:
                settings = dict(struct.iter_unpack(">HI", frame.payload))
                change = settings.get(_INITIAL_WINDOW_SIZE, self._initial) - self._initial
                self._initial += change
                self._streams = {stream: room + change for stream, room in self._streams.items()}
            elif frame.kind == RST_STREAM or (frame.kind == HEADERS and frame.flags & END_STREAM):
                self._reset.add(frame.stream)
            self._changed.set()

    async def room(self, stream: int, wanted: int) -> int:
        """How many of `wanted` bytes may be sent now. They count as sent."""
        async with asyncio.timeout(1):
            while (room := min(wanted, self._connection, self._streams.get(stream, self._initial))) <= 0:
                if stream in self._reset:
                    raise ConnectionResetError
                self._changed.clear()
                await self._changed.wait()
        self._connection -= room
        self._streams[stream] = self._streams.get(stream, self._initial) - room
        return room


def call_headers(method: str, metadata: Metadata = ()) -> bytes:
    """The header fields of a call."""
    headers = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", "gateway"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *metadata,
    )
    return b"".join(field(name, value) for name, value in headers)


def field(name: str, value: str, *, indexed: bool = False) -> bytes:
    """A header field, as a literal (RFC 7541, 6.2). If it is `indexed`, later ones can refer to it by a byte."""
    return (b"\x40" if indexed else b"\x00") + _string(name.encode()) + _string(value.encode())


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
