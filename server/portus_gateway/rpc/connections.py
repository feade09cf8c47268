"""Closes connections of the server.

gRPC's Python server has no way to end a call whose answer is not read: it ends with its connection.
"""

import ipaddress
import os
import socket
import stat
from collections.abc import Collection
from typing import Final
from urllib.parse import unquote

_OPEN_FILES: Final = "/dev/fd"

Endpoint = tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]


def close_connections(peers: Collection[str], ports: Collection[int]) -> int:
    """Closes the connections that come from `peers` (as gRPC writes them) to `ports` of this process; returns how many.

    gRPC notices at once, and ends all calls on them.
    """
    wanted = {endpoint for endpoint in map(_endpoint, peers) if endpoint is not None}
    closed = 0
    for name in os.listdir(_OPEN_FILES):
        try:
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            # A descriptor of our own: gRPC's may be closed at any time.
            with socket.socket(fileno=os.dup(int(name))) as connection:
                if connection.family not in (socket.AF_INET, socket.AF_INET6):
                    continue
                if connection.getsockname()[1] in ports and _address(connection.getpeername()) in wanted:
                    connection.shutdown(socket.SHUT_RDWR)
                    closed += 1
        except OSError:
            # Closed meanwhile, or not connected.
            continue
    return closed


def _endpoint(peer: str) -> Endpoint | None:
    """The address in `ipv4:127.0.0.1:40000` or `ipv6:%5B::1%5D:40000`."""
    host, _, port = unquote(peer).partition(":")[2].rpartition(":")
    try:
        return _address((host.strip("[]"), int(port)))
    except ValueError:
        return None


def _address(name: tuple[str, int] | tuple[str, int, int, int]) -> Endpoint:
    address = ipaddress.ip_address(name[0])
    # A socket for both versions of IP shows an address of version 4 as one of version 6.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address, name[1]
