"""What stands where a gateway should be, and how it fails. Each is a context that answers with its address."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TypeAlias

Connections: TypeAlias = ExitStack
Handler: TypeAlias = Callable[[socket.socket, Connections], None]


@contextmanager
def silent() -> Iterator[str]:
    """Takes every connection and says nothing."""

    def wait(_connection: socket.socket, _connections: Connections) -> None:
        pass  # it stays open

    with _listening(wait) as address:
        yield address


@contextmanager
def closing() -> Iterator[str]:
    """Takes every connection, and closes it."""

    def close(connection: socket.socket, _connections: Connections) -> None:
        connection.close()

    with _listening(close) as address:
        yield address


@contextmanager
def failing_relay(target: str, *, after: int, cut: bool) -> Iterator[str]:
    """Passes every connection on to `target` until that has answered `after` bytes. Then it is cut, or stands still."""
    host, port = target.rsplit(":", 1)

    def relay(connection: socket.socket, connections: Connections) -> None:
        onward = socket.create_connection((host, int(port)))
        connections.callback(_end, onward)
        threading.Thread(target=_pass_on, args=(connection, onward), daemon=True).start()
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
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as connections:

        def handle(connection: socket.socket) -> None:
            with suppress(OSError):  # either side went away
                handler(connection, connections)

        def accept() -> None:
            with suppress(OSError):  # the listener is closed
                while True:
                    connection, _ = listener.accept()
                    connections.callback(_end, connection)
                    threading.Thread(target=handle, args=(connection,), daemon=True).start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            accepting.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)


def _end(connection: socket.socket) -> None:
    # Closing alone would leave a thread that waits for data.
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
