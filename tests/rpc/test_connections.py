"""Connections that the gateway closes itself."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from portus_gateway.rpc.connections import close_connections, close_surplus


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


def is_closed(client: socket.socket) -> bool:
    client.settimeout(0.05)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False


def test_of_many_connections_some_are_closed_of_the_address_that_has_most() -> None:
    with connections("::", "127.0.0.1", 2) as (_, few), ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = listener.getsockname()[1]
        clients: dict[str, list[socket.socket]] = {}
        for source, count in (("127.0.0.3", 2), ("127.0.0.2", 6)):
            clients[source] = []
            for _ in range(count):
                address = ("127.0.0.1", port)
                client = stack.enter_context(socket.create_connection(address, source_address=(source, 0)))
                clients[source].append(client)
                stack.enter_context(listener.accept()[0])
        flood = clients["127.0.0.2"]
        assert close_surplus(port, [], above=8, down_to=4) == 0
        # One has a call, and is kept.
        assert close_surplus(port, [peer(flood[0])], above=7, down_to=5) == 3
        assert [is_closed(each) for each in flood] == [False, True, True, True, False, False]
        assert [is_closed(each) for each in clients["127.0.0.3"]] == [False, False]
        assert [is_closed(each) for each in few] == [False, False]
