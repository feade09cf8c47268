"""A relay before a gateway. It can hang like a stopped process: connections stay open, and no data moves."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress


class HangingRelay:
    """Copies bytes to the gateway and back until it hangs."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._hangs = threading.Event()

    def hang(self) -> None:
        """From now on, nothing is copied."""
        self._hangs.set()

    def copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self._hangs.is_set():
                    return
                target.sendall(data)


@contextmanager
def hanging_relay(gateway: str) -> Iterator[HangingRelay]:
    """A relay to the gateway at this address, for as long as the block runs."""
    host, _, port = gateway.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as sockets:
        relay = HangingRelay(f"127.0.0.1:{listener.getsockname()[1]}")

        def accept() -> None:
            with suppress(OSError):
                while True:
                    near, _ = listener.accept()
                    far = socket.create_connection((host, int(port)))
                    for source, target in ((near, far), (far, near)):
                        sockets.callback(_close, source)
                        threading.Thread(target=relay.copy, args=(source, target), daemon=True).start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield relay
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            accepting.join()


def _close(connection: socket.socket) -> None:
    # close alone does not wake the thread that reads.
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
