"""Reads the address of a peer, as gRPC writes it."""

from urllib.parse import unquote


def host_and_port(peer: str) -> tuple[str, int] | None:
    """The host and the port in `ipv4:127.0.0.1:40000` or `ipv6:%5B::1%5D:40000`. None if there are none (`unix:`)."""
    host, _, port = unquote(peer).partition(":")[2].rpartition(":")
    try:
        return host.strip("[]"), int(port)
    except ValueError:
        return None
