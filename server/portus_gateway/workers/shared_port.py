"""A port that several processes of one gateway listen on, and no other gateway."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from portus_gateway.listen_address import ListenAddress, cannot_listen

_WILDCARDS = ("::", "0.0.0.0")  # noqa: S104  (compared with, not bound)
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


@contextmanager
def shared_port(address: ListenAddress) -> Iterator[ListenAddress]:
    """Holds `address` for as long as the block runs, so that this user's processes may listen there with SO_REUSEPORT.

    Returns the real port. Nothing listens by this alone: connections go to those processes only. Raises `OSError`
    if the address is in use, by another gateway too, or is none of this machine.
    """
    with ExitStack() as stack:
        held = address
        refusal: OSError | None = None
        bound = False
        for family, host in _places(address.host):
            try:
                end = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                _bind(end, host, held.port)
            except OSError as error:
                # `localhost` may have an address that this machine lacks. gRPC uses only the others, too.
                if error.errno not in _NOT_HERE:
                    raise cannot_listen(address, error) from error
                refusal = error
                continue
            bound = True
            held = held.with_port(end.getsockname()[1])
        if not bound:
            raise cannot_listen(address, refusal) from refusal
        yield held


def _places(host: str) -> list[tuple[socket.AddressFamily, str]]:
    if host in _WILDCARDS:
        # As gRPC does: one socket for both families, where there are both.
        return [(socket.AF_INET6, "::")] if socket.has_dualstack_ipv6() else [(socket.AF_INET, "0.0.0.0")]  # noqa: S104
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise cannot_listen(ListenAddress(host, 0), error) from error
    return list(dict.fromkeys((family, str(place[0])) for family, _, _, _, place in found))


def _bind(end: socket.socket, host: str, port: int) -> None:
    if end.family is socket.AF_INET6:
        end.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
    end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    end.bind((host, port))
    # Only once it is bound: sharing is then for those who come after, and binding has been refused where another
    # gateway, which shares its own port in the same way, was there first.
    end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
