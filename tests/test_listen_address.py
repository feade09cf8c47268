import errno
import socket

import pytest

from portus_gateway.listen_address import ListenAddress, cannot_listen


@pytest.mark.parametrize(
    ("text", "host", "port", "shown", "loopback"),
    [
        ("127.0.0.1:50051", "127.0.0.1", 50051, "127.0.0.1:50051", True),
        ("127.8.9.1:1", "127.8.9.1", 1, "127.8.9.1:1", True),
        ("localhost:0", "localhost", 0, "localhost:0", True),
        ("[::1]:50051", "::1", 50051, "[::1]:50051", True),
        ("0.0.0.0:50051", "0.0.0.0", 50051, "0.0.0.0:50051", False),
        (":50051", "::", 50051, "[::]:50051", False),
        ("[::]:50051", "::", 50051, "[::]:50051", False),
        ("gateway.internal:50051", "gateway.internal", 50051, "gateway.internal:50051", False),
        # A name that only looks like this machine's.
        ("127.0.0.1.example:50051", "127.0.0.1.example", 50051, "127.0.0.1.example:50051", False),
    ],
)
def test_it_reads_hosts_and_ports_and_knows_what_others_reach(
    text: str, host: str, port: int, shown: str, loopback: bool
) -> None:
    address = ListenAddress.parse(text)
    assert (address.host, address.port, str(address), address.is_loopback) == (host, port, shown, loopback)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1",
        "50051",
        "::1:50051",
        "[::1]",
        "[::1:50051",
        "host:port",
        "host:70000",
        "host:-1",
        "a b:1",
        "[x]:1",
        "h:²",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"host:port|brackets|not an IPv6 address"):
        ListenAddress.parse(text)


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (
            OSError(errno.EADDRINUSE, "x"),
            "the address is in use: stop the process that uses it, or listen on another port",
        ),
        (OSError(errno.EADDRNOTAVAIL, "x"), "this machine does not have the address"),
        (OSError(errno.EACCES, "x"), "this user may not use the port: ports below 1024 need a right of their own"),
        (socket.gaierror(socket.EAI_NONAME, "x"), "the host name cannot be resolved"),
        (
            OSError(errno.ENOBUFS, "no room"),
            "the address is in use, is not one of this machine, or may not be bound by this user (no room)",
        ),
        (None, "the address is in use, is not one of this machine, or may not be bound by this user"),
    ],
)
def test_the_error_says_why_a_server_cannot_listen_and_what_to_do(cause: OSError | None, reason: str) -> None:
    assert str(cannot_listen(ListenAddress("localhost", 80), cause)) == f"cannot listen on localhost:80: {reason}"
