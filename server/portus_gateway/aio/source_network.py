"""Where a connection comes from, as limits count it."""

import ipaddress
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, TypeVar

Connection = TypeVar("Connection")

# A site's IPv6 network has this prefix, and one host any number of addresses in it.
_IPV6_PREFIX: Final = 64


@lru_cache(1024)
def network_of(host: str) -> str:
    """The IPv4 address `host`, or the /64 network of an IPv6 address. Raises `ValueError` for what is no address."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))


def fullest_source_first(connections: Sequence[tuple[str, Connection]]) -> Iterator[Connection]:
    """The order in which connections make room for others: the next is the oldest of the source that then has the most.

    `connections` are given with their sources, the oldest first.
    """
    by_source: defaultdict[str, list[Connection]] = defaultdict(list)
    # From the newest to the oldest.
    for source, connection in reversed(connections):
        by_source[source].append(connection)
    for _ in connections:
        yield max(by_source.values(), key=len).pop()
