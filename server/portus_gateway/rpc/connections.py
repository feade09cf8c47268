"""Closes connections of the server.

gRPC's Python server has no way to end a call whose answer is not read: it ends with its connection.
"""

import ipaddress
import os
import socket
import stat
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Final

from portus_gateway.aio.source_network import fullest_source_first, network_of
from portus_gateway.rpc.peer_address import host_and_port

_OPEN_FILES: Final = "/dev/fd"

Endpoint = tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]


def close_connections(peers: Collection[str], ports: Collection[int]) -> int:
    """Closes the connections that come from `peers` (as gRPC writes them) to `ports` of this process; returns how many.

    gRPC notices at once, and ends all calls on them.
    """
    wanted = {endpoint for endpoint in map(_endpoint, peers) if endpoint is not None}
    return sum(_close(number, endpoint, port) for number, port, endpoint in _connections(ports) if endpoint in wanted)


def close_surplus(port: int, kept: Collection[str], *, above: int, down_to: int) -> int:
    """If `port` of this process has more connections than `above`, closes some until `down_to` are left.

    The oldest of the address that has the most is the first, and so on. Those of the peers `kept` are not closed.
    Returns how many were closed.
    """
    # Each socket has a file descriptor.
    if len(os.listdir(_OPEN_FILES)) <= above:
        return 0
    connections = [(number, endpoint) for number, _, endpoint in _connections([port])]
    if len(connections) <= above:
        return 0
    stay = {endpoint for endpoint in map(_endpoint, kept) if endpoint is not None}
    # A new connection takes the lowest number that is free, so the oldest ones have the lowest, by and large.
    others = [
        (network_of(str(endpoint[0])), (number, endpoint)) for number, endpoint in connections if endpoint not in stay
    ]
    surplus = islice(fullest_source_first(others), len(connections) - down_to)
    return sum(_close(number, endpoint, port) for number, endpoint in surplus)


def _close(number: int, endpoint: Endpoint, port: int) -> bool:
    """Closes the connection from `endpoint` to `port` whose file descriptor is `number`, if it is still that one."""
    try:
        with socket.socket(fileno=os.dup(number)) as connection:
            if connection.getsockname()[1] != port or _address(connection.getpeername()) != endpoint:
                return False
            connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # Closed meanwhile.
        return False
    return True


def _connections(ports: Collection[int]) -> Iterator[tuple[int, int, Endpoint]]:
    """The connections to these ports: the file descriptor, the port, and where they come from."""
    for number in sorted(map(int, os.listdir(_OPEN_FILES))):
        try:
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            # A descriptor of our own: gRPC's may be closed at any time.
            with socket.socket(fileno=os.dup(number)) as connection:
                if connection.family not in (socket.AF_INET, socket.AF_INET6):
                    continue
                port = connection.getsockname()[1]
                if port not in ports:
                    continue
                endpoint = _address(connection.getpeername())
        except OSError:
            # Closed meanwhile, or not connected.
            continue
        yield number, port, endpoint


def _endpoint(peer: str) -> Endpoint | None:
    found = host_and_port(peer)
    try:
        return None if found is None else _address(found)
    except ValueError:
        return None


def _address(name: tuple[str, int] | tuple[str, int, int, int]) -> Endpoint:
    address = ipaddress.ip_address(name[0])
    # A socket for both versions of IP shows an address of version 4 as one of version 6.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address, name[1]
