"""The places of calls that need no credential."""

from collections.abc import Iterable

import pytest

from portus_gateway.rpc.call_errors import TooManyCalls
from portus_gateway.rpc.open_services import OpenCallLimit, OpenMethod, Place, address_of

METHOD = OpenMethod(places=6, for_address=4, for_connection=2, seconds=1.0)


def entered(limit: OpenCallLimit, peers: Iterable[str], *, known: bool = False) -> list[Place]:
    return [limit.enter(METHOD, peer, known=known) for peer in peers]


def refused(limit: OpenCallLimit, peer: str, *, known: bool = False) -> str:
    with pytest.raises(TooManyCalls) as caught:
        limit.enter(METHOD, peer, known=known)
    assert caught.value.retry_after == 1.0
    return str(caught.value)


def test_a_connection_an_address_and_all_callers_have_their_bounds() -> None:
    limit = OpenCallLimit()
    entered(limit, ["ipv4:10.0.0.1:1", "ipv4:10.0.0.1:1"])
    assert "your connection" in refused(limit, "ipv4:10.0.0.1:1")
    entered(limit, ["ipv4:10.0.0.1:2", "ipv4:10.0.0.1:3"])
    assert "your address" in refused(limit, "ipv4:10.0.0.1:4")
    entered(limit, ["ipv4:10.0.0.2:1", "ipv4:10.0.0.3:1"])
    assert "all callers" in refused(limit, "ipv4:10.0.0.4:1")


def test_callers_who_are_known_have_places_that_no_stranger_can_take() -> None:
    limit = OpenCallLimit()
    entered(limit, [f"ipv4:10.0.0.{number}:1" for number in range(6)])
    refused(limit, "ipv4:10.0.0.9:1")
    entered(limit, ["ipv4:10.0.0.9:1"], known=True)


def test_a_place_that_is_given_back_can_be_taken_again_and_nothing_is_kept() -> None:
    limit = OpenCallLimit()
    for number in range(1000):
        for place in entered(limit, [f"ipv4:10.0.0.1:{number}"] * 2):
            limit.leave(place)
    (taken,) = limit._taken.values()
    assert (taken.in_all, taken.by_address, taken.by_connection) == (0, {}, {})


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:40000", "127.0.0.1"),
        ("ipv6:%5B::1%5D:40000", "::/64"),
        ("ipv6:[2001:db8:1:2:3::4]:40000", "2001:db8:1:2::/64"),
        ("ipv6:%5B2001:db8:1:2:ffff::5%5D:1", "2001:db8:1:2::/64"),
        ("ipv6:%5B::ffff:10.0.0.1%5D:1", "10.0.0.1"),
        ("ipv6:%5Bfe80::1%25eth0%5D:1", "fe80::/64"),
        ("unix:/run/gateway.sock", "unix"),
        ("unix:", "unix"),
        ("", ""),
    ],
)
def test_one_host_is_one_address_whatever_its_port(peer: str, address: str) -> None:
    assert address_of(peer) == address


def test_one_place_that_is_given_back_is_one() -> None:
    limit = OpenCallLimit()
    first, _ = entered(limit, ["ipv4:10.0.0.1:1"] * 2)
    limit.leave(first)
    entered(limit, ["ipv4:10.0.0.1:1"])
    assert "your connection" in refused(limit, "ipv4:10.0.0.1:1")
