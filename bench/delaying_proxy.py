"""A proxy that keeps every byte back for a while, counts requests, and can fail some of them.

It works on TCP, so that it costs far less than what stands behind it. A chunk that begins like a request is one: what
the bench sends has no bodies that could look like it.

`python -m bench.delaying_proxy <upstream host:port> <seconds each way> <fail every n-th, 0: none>` prints its address;
`GET /bench/requests` is answered by the proxy itself, with how many others there were.
"""

import asyncio
import re
import sys
from collections import deque
from dataclasses import dataclass
from typing import cast

import uvloop

_REQUEST = re.compile(rb"(GET|HEAD|PUT|POST|PATCH|DELETE) ")
_COUNT = b"GET /bench/requests "
_UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


class _Delayed:
    """Writes to a transport what it is given, in order, later."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: deque[bytes | None] = deque()
        self.to: asyncio.Transport | None = None

    def put(self, data: bytes | None) -> None:
        """`None` ends the connection."""
        self._waiting.append(data)
        if self._seconds:
            asyncio.get_running_loop().call_later(self._seconds, self._write)
        else:
            self._write()

    def _write(self) -> None:
        data = self._waiting.popleft()
        if self.to is None or self.to.is_closing():
            return
        if data is None:
            self.to.close()
        else:
            self.to.write(data)


class _Upstream(asyncio.Protocol):
    def __init__(self, answers: _Delayed) -> None:
        self._answers = answers

    def data_received(self, data: bytes) -> None:
        self._answers.put(data)

    def connection_lost(self, _: Exception | None) -> None:
        self._answers.put(None)


@dataclass(frozen=True, slots=True)
class _Strike:
    """A fault: what is answered in the registry's place, or None for the end of the connection."""

    answer: bytes | None


class _Faults:
    """Every `every`-th request fails: by turns with a 503 and with a connection that ends."""

    def __init__(self, every: int) -> None:
        self.requests = 0
        self._every = every

    def strike(self) -> "_Strike | None":
        """What becomes of the next request, if it is to fail."""
        self.requests += 1
        if not self._every or self.requests % self._every:
            return None
        return _Strike(_UNAVAILABLE if self.requests // self._every % 2 else None)


class _Caller(asyncio.Protocol):
    def __init__(self, host: str, port: int, seconds: float, faults: _Faults) -> None:
        self._host, self._port = host, port
        self._faults = faults
        self._questions, self._answers = _Delayed(seconds), _Delayed(seconds)
        self._early: list[bytes] = []
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._answers.to = cast("asyncio.Transport", transport)
        self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            transport, _ = await asyncio.get_running_loop().create_connection(
                lambda: _Upstream(self._answers), self._host, self._port
            )
        except OSError:
            self._answers.put(None)
            return
        self._questions.to = transport
        for data in self._early:
            self._questions.put(data)

    def data_received(self, data: bytes) -> None:
        if data.startswith(_COUNT):
            body = str(self._faults.requests).encode()
            self._answers.put(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            return
        if _REQUEST.match(data):
            strike = self._faults.strike()
            if strike is not None:
                self._answers.put(strike.answer)
                return
        if self._questions.to is None:
            self._early.append(data)
        else:
            self._questions.put(data)

    def connection_lost(self, _: Exception | None) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        self._questions.put(None)


async def _serve(upstream: str, seconds: float, every: int) -> None:
    host, _, port = upstream.rpartition(":")
    faults = _Faults(every)
    server = await asyncio.get_running_loop().create_server(
        lambda: _Caller(host, int(port), seconds, faults), "127.0.0.1", 0
    )
    print(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
