"""The address that a server listens on."""

import errno
import ipaddress
import socket
from dataclasses import dataclass
from typing import Final, Self

_ALL = "::"


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A host (name or IP address) and a port. Port 0 means any free port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `127.0.0.1:50051`, `[::1]:50051`, `localhost:50051`, or `:50051` for all interfaces.

        Raises `ValueError`.
        """
        host, separator, port = text.rpartition(":")
        spaces = any(character.isspace() for character in text)
        if not separator or spaces or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise ValueError("must be host:port, such as 127.0.0.1:50051")
        if host.startswith("[") and host.endswith("]"):
            host = _ipv6(host[1:-1])
        elif ":" in host:
            raise ValueError("must have an IPv6 address in brackets, such as [::1]:50051")
        return cls(host or _ALL, int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def with_port(self, port: int) -> "ListenAddress":
        return ListenAddress(self.host, port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


DEFAULT_LISTEN: Final = ListenAddress("127.0.0.1", 50051)
"""Where the gateway serves gRPC if no setting says otherwise."""


_REASONS: Final = {
    errno.EADDRINUSE: "the address is in use: stop the process that uses it, or listen on another port",
    errno.EADDRNOTAVAIL: "this machine does not have the address",
    errno.EACCES: "this user may not use the port: ports below 1024 need a right of their own",
}


def cannot_listen(address: ListenAddress | str, cause: OSError | None = None) -> OSError:
    """The error for an address that a server cannot listen on. `cause` is the system's error, if it is known."""
    if isinstance(cause, socket.gaierror):
        reason = "the host name cannot be resolved"
    elif cause is not None and cause.errno in _REASONS:
        reason = _REASONS[cause.errno]
    else:
        detail = "" if cause is None else f" ({cause.strerror or cause})"
        reason = f"the address is in use, is not one of this machine, or may not be bound by this user{detail}"
    return OSError(f"cannot listen on {address}: {reason}")


def _ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise ValueError(f"[{text}] is not an IPv6 address") from None
