import pytest

from portus_gateway.rpc.peer_address import host_and_port


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:40000", ("127.0.0.1", 40000)),
        ("ipv6:%5B::1%5D:40000", ("::1", 40000)),
        ("ipv6:[2001:db8::1]:1", ("2001:db8::1", 1)),
        ("unix:", None),
        ("unix:/run/portus.sock", None),
        ("", None),
    ],
)
def test_the_address_of_a_peer(peer: str, address: tuple[str, int] | None) -> None:
    assert host_and_port(peer) == address
