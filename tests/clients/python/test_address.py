import pytest

from portus_client.address import Address


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1:50051", "gateway:50051", "[::1]:50051", "gw.example:1", "dns:///gateway:50051", "unix:/run/gateway"],
)
def test_host_and_port_and_grpc_names_are_addresses(text: str) -> None:
    assert str(Address(text)) == text


@pytest.mark.parametrize(
    "text", ["", "gateway", "gateway:", ":50051", "gateway:0", "gateway:65536", "gateway:http", "::1", "a b:1", "a:1\n"]
)
def test_an_invalid_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        Address(text)


def test_a_url_is_refused_with_the_part_to_leave_out() -> None:
    with pytest.raises(ValueError, match="without http://"):
        Address("http://gateway:50051")


@pytest.mark.parametrize(
    "text", ["127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1", "dns:///localhost:1", "unix:/x"]
)
def test_loopback_addresses_are_local(text: str) -> None:
    assert Address(text).is_local


@pytest.mark.parametrize(
    "text", ["gateway:1", "10.0.0.1:1", "[2001:db8::1]:1", "dns:///gateway:1", "localhost.example:1"]
)
def test_other_addresses_are_not_local(text: str) -> None:
    assert not Address(text).is_local
