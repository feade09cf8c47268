"""Where a gateway listens."""

import ipaddress
import re
from dataclasses import dataclass

_HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9a-fA-F:.%]+\]|[^\s:/\[\]]+):(?P<port>[0-9]{1,5})")
_RESOLVER = re.compile(r"(?:[a-z][a-z0-9+.-]*:///|unix:|unix-abstract:|ipv4:|ipv6:).+")
_LOCAL_SOCKETS = ("unix:", "unix-abstract:")


@dataclass(frozen=True, slots=True)
class Address:
    """A gateway's address: `host:port`, or a name in gRPC's syntax: `dns:///gateway:50051`, `unix:/run/gateway`.

    Raises `ValueError` for anything else. gRPC itself would take a missing port for 443, and a port too large modulo
    65536.
    """

    text: str

    def __post_init__(self) -> None:
        if self.text.startswith(("http://", "https://")):
            raise ValueError(
                f"{self.text!r} is no address of a gateway: host:port, without {self.text.split('//')[0]}//"
            )
        if _RESOLVER.fullmatch(self.text):
            return
        match = _HOST_AND_PORT.fullmatch(self.text)
        if match is None or not 0 < int(match["port"]) < 65536:
            raise ValueError(f"{self.text!r} is no address of a gateway: host:port, such as 127.0.0.1:50051")

    @property
    def local(self) -> bool:
        """Whether what is sent there never leaves this machine."""
        if self.text.startswith(_LOCAL_SOCKETS):
            return True
        host = self.text.removeprefix("dns:///").removeprefix("ipv4:").rpartition(":")[0].strip("[]")
        if host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            # A name: where it leads is not known before it is resolved.
            return False

    def __str__(self) -> str:
        return self.text
