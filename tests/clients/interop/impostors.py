"""Servers that take the place of a gateway and fail. Each is a context that gives its address."""

import itertools
import math
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TypeAlias

Connections: TypeAlias = ExitStack
Handler: TypeAlias = Callable[[socket.socket, Connections], None]
_LAST_MOMENT = 0.05


@contextmanager
def silent() -> Iterator[str]:
    """Accepts every connection and never sends anything."""

    def wait(_connection: socket.socket, _connections: Connections) -> None:
        pass  # the connection stays open

    with _listening(wait) as address:
        yield address


@contextmanager
def closing() -> Iterator[str]:
    """Accepts every connection and closes it."""

    def close(connection: socket.socket, _connections: Connections) -> None:
        connection.close()

    with _listening(close) as address:
        yield address


@contextmanager
def failing_relay(target: str, *, after: int, cut: bool) -> Iterator[str]:
    """Connects clients to `target`. After `after` bytes from `target`, the connection is cut, or hangs."""
    with _relay(target, after=after, cut=cut, failing=math.inf) as address:
        yield address


@contextmanager
def hanging_once(target: str, *, after: int) -> Iterator[str]:
    """Connects clients to `target`. The first connection hangs after `after` bytes from `target`; others do not."""
    with _relay(target, after=after, cut=False, failing=1) as address:
        yield address


@contextmanager
def _relay(target: str, *, after: int, cut: bool, failing: float) -> Iterator[str]:
    host, port = target.rsplit(":", 1)
    connected = itertools.count(1)

    def relay(connection: socket.socket, connections: Connections) -> None:
        fails = next(connected) <= failing
        onward = socket.create_connection((host, int(port)))
        connections.callback(_end, onward)
        threading.Thread(target=_pass_on, args=(connection, onward), daemon=True).start()
        if not fails:
            _pass_on(onward, connection)
            return
        answered = 0
        while answered < after and (data := onward.recv(after - answered)):
            answered += len(data)
            connection.sendall(data)
        if cut:
            _end(connection)
            _end(onward)

    with _listening(relay) as address:
        yield address


@contextmanager
def _listening(handler: Handler) -> Iterator[str]:
    handling: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as connections:

        def handle(connection: socket.socket) -> None:
            with suppress(OSError):  # one side has closed
                handler(connection, connections)

        def accept() -> None:
            with suppress(OSError):  # the listener is closed
                while True:
                    connection, _ = listener.accept()
                    connections.callback(_end, connection)
                    thread = threading.Thread(target=handle, args=(connection,), daemon=True)
                    handling.append(thread)
                    thread.start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in handling:
                # A thread may open a connection at the last moment.
                while thread.is_alive():
                    connections.close()
                    thread.join(_LAST_MOMENT)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)


def _end(connection: socket.socket) -> None:
    # close alone does not wake a thread that waits for data.
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
