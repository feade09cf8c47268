"""What callers without a credential may hold: the calls of health and reflection, which are open to everybody."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from portus_gateway.aio.source_network import network_of
from portus_gateway.rpc.call_errors import TooManyCalls
from portus_gateway.rpc.peer_address import host_and_port
from portus_gateway.rpc.service_names import HEALTH_SERVICE, REFLECTION_V1_SERVICE, REFLECTION_V1ALPHA_SERVICE


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenMethod:
    """The bounds of one method. A place is held until the call is over, its answer read included.

    `places` are for all callers, `for_address` for those of one IP address, `for_connection` for one connection.
    `seconds` is how long a call may take; None is as long as a stream of the RegistryService. `request_bytes` is the
    size of the largest request.
    """

    places: int
    for_address: int
    for_connection: int
    seconds: float | None
    request_bytes: int = 4096


_CHECK: Final = OpenMethod(places=128, for_address=32, for_connection=16, seconds=10.0)
# A client with health checking keeps one for each connection; a proxy keeps those of many clients on one.
_WATCH: Final = OpenMethod(places=1024, for_address=128, for_connection=16, seconds=None)
_REFLECT: Final = OpenMethod(places=32, for_address=8, for_connection=4, seconds=60.0)

OPEN_METHODS: Final[Mapping[str, OpenMethod]] = MappingProxyType(
    {
        f"/{HEALTH_SERVICE}/Check": _CHECK,
        f"/{HEALTH_SERVICE}/List": _CHECK,
        f"/{HEALTH_SERVICE}/Watch": _WATCH,
        f"/{REFLECTION_V1_SERVICE}/ServerReflectionInfo": _REFLECT,
        f"/{REFLECTION_V1ALPHA_SERVICE}/ServerReflectionInfo": _REFLECT,
    }
)


@dataclass(frozen=True, slots=True)
class Place:
    """A place that a call holds."""

    method: OpenMethod
    known: bool
    address: str
    connection: str


@dataclass(slots=True)
class _Taken:
    in_all: int = 0
    by_address: Counter[str] = field(default_factory=Counter)
    by_connection: Counter[str] = field(default_factory=Counter)


class OpenCallLimit:
    """Counts the calls of open methods.

    Callers whose connection shows a client certificate have places of their own, as many as all others together: no
    stranger can take them.
    """

    def __init__(self) -> None:
        self._taken: dict[tuple[OpenMethod, bool], _Taken] = {}

    def enter(self, method: OpenMethod, peer: str, *, known: bool) -> Place:
        """Takes a place, which `leave` gives back. `peer` is gRPC's word for the other end. Raises `TooManyCalls`."""
        place = Place(method, known, address_of(peer), peer)
        taken = self._taken.setdefault((method, known), _Taken())
        for count, limit, whose in (
            (taken.in_all, method.places, "all callers"),
            (taken.by_address[place.address], method.for_address, "your address"),
            (taken.by_connection[peer], method.for_connection, "your connection"),
        ):
            if count >= limit:
                raise TooManyCalls(f"{limit} calls of this method from {whose} are being served: try again later")
        taken.in_all += 1
        taken.by_address[place.address] += 1
        taken.by_connection[peer] += 1
        return place

    def leave(self, place: Place) -> None:
        taken = self._taken[place.method, place.known]
        taken.in_all -= 1
        for counter, key in ((taken.by_address, place.address), (taken.by_connection, place.connection)):
            counter[key] -= 1
            if not counter[key]:
                del counter[key]


def address_of(peer: str) -> str:
    """The IP address of a peer (`ipv4:127.0.0.1:40000`), or the network of an IPv6 address; `unix` for sockets."""
    found = host_and_port(peer)
    try:
        return network_of("" if found is None else found[0])
    except ValueError:
        return peer.partition(":")[0]
