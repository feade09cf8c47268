"""The address of a gateway."""

import ipaddress
import re
from dataclasses import dataclass

_HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9a-fA-F:.%]+\]|[^\s:/\[\]]+):(?P<port>[0-9]{1,5})")
_RESOLVER = re.compile(r"(?:[a-z][a-z0-9+.-]*:///|unix:|unix-abstract:|ipv4:|ipv6:).+")
_LOCAL_SOCKETS = ("unix:", "unix-abstract:")


@dataclass(frozen=True, slots=True)
class Address:
    """A gateway's address: `host:port`, or a name in gRPC's syntax (`dns:///gateway:50051`, `unix:/run/gateway`).

    Raises `ValueError` for anything else. The check is needed because gRPC accepts more: without a port it uses 443,
    and it takes a port that is too large modulo 65536.
    """

    text: str

    def __post_init__(self) -> None:
        if self.text.startswith(("http://", "https://")):
            raise ValueError(
                f"{self.text!r} is not a gateway address: write host:port, without {self.text.split('//')[0]}//"
            )
        if _RESOLVER.fullmatch(self.text):
            return
        match = _HOST_AND_PORT.fullmatch(self.text)
        if match is None or not 0 < int(match["port"]) < 65536:
            raise ValueError(f"{self.text!r} is not a gateway address: write host:port, such as 127.0.0.1:50051")

    @property
    def is_local(self) -> bool:
        """Whether the address is on this machine for certain: a loopback address, `localhost` or a Unix socket."""
        if self.text.startswith(_LOCAL_SOCKETS):
            return True
        host = self.text.removeprefix("dns:///").removeprefix("ipv4:").rpartition(":")[0].strip("[]")
        if host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            # A host name can resolve to any machine.
            return False

    def __str__(self) -> str:
        return self.text
