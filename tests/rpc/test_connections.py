"""Connections that the gateway closes itself."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from portus_gateway.rpc.connections import close_connections


@contextmanager
def connections(server: str, client: str, count: int) -> Iterator[tuple[int, list[socket.socket]]]:
    """Connections to one port of this process: the port, and their clients' ends."""
    with ExitStack() as stack:
        listener = stack.enter_context(
            socket.create_server((server, 0), family=socket.AF_INET6, dualstack_ipv6=server == "::")
        )
        port = listener.getsockname()[1]
        clients = []
        for _ in range(count):
            clients.append(stack.enter_context(socket.create_connection((client, port), timeout=5)))
            stack.enter_context(listener.accept()[0])
        yield port, clients


def peer(client: socket.socket) -> str:
    """What gRPC calls the client."""
    host, port, *_ = client.getsockname()
    return f"ipv6:%5B{host}%5D:{port}" if ":" in host else f"ipv4:{host}:{port}"


@pytest.mark.parametrize(("server", "client"), [("::1", "::1"), ("::", "127.0.0.1"), ("::", "::1")])
def test_the_connections_of_a_peer_are_closed_and_no_others(server: str, client: str) -> None:
    with connections(server, client, 3) as (port, (first, second, third)):
        assert close_connections([peer(first), peer(third)], [port]) == 2
        assert first.recv(1) == b""
        assert third.recv(1) == b""
        second.setblocking(False)
        with pytest.raises(BlockingIOError):
            second.recv(1)


def test_a_connection_to_another_port_is_not_closed() -> None:
    with connections("::1", "::1", 1) as (port, (client,)):
        assert close_connections([peer(client), f"ipv6:%5B::1%5D:{port}"], [port + 1]) == 0
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)


@pytest.mark.parametrize("peer", ["", "unix:", "ipv4:127.0.0.1", "ipv4:nowhere:1", "ipv6:%5B::1%5D:x"])
def test_a_peer_that_is_no_address_is_nobody(peer: str) -> None:
    assert close_connections([peer], [50051]) == 0
