"""The connection to the gateway: service config, TLS, tokens, keepalive."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from portus.registry.v1 import registry_service_pb2
from portus_client import RegistryClient, Unauthenticated, Unavailable, channel
from portus_client.address import Address
from tests.clients.python.certificates import Authority
from tests.clients.python.clients import Open
from tests.clients.python.gateway import LAYER_DIGEST, Gateway
from tests.clients.python.relay import hanging_relay

BESIDE_THE_PROTO = Path(__file__).parents[3] / "protos/portus/registry/v1/service_config.json"


def test_the_client_has_the_service_config_that_is_beside_the_proto() -> None:
    assert BESIDE_THE_PROTO.read_text(encoding="utf-8") == channel.service_config(), "copy one over the other"


def test_the_service_config_retries_exactly_the_reads() -> None:
    (policy,) = json.loads(channel.service_config())["methodConfig"]
    service = registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"]

    assert {name["service"] for name in policy["name"]} == {service.full_name}
    assert {name["method"] for name in policy["name"]} == {
        method.name for method in service.methods if "Delete" not in method.name
    }
    assert policy["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]


def test_tls_uses_the_given_ca(connect: Open, tmp_path: Path) -> None:
    authority = Authority()
    pair = authority.issue("127.0.0.1")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "other.pem").write_bytes(Authority().pem)

    with Gateway(grpc.ssl_server_credentials([(pair.key, pair.certificate)])) as gateway:
        assert connect(gateway.address, ca_file=tmp_path / "ca.pem").info().reachable
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            connect(gateway.address, ca_file=tmp_path / "other.pem").info()


def test_the_client_certificate_is_sent(connect: Open, tmp_path: Path) -> None:
    authority = Authority()
    server = authority.issue("127.0.0.1")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    certificate, key = authority.issue("localhost").write(tmp_path, "client")
    credentials = grpc.ssl_server_credentials(
        [(server.key, server.certificate)], root_certificates=authority.pem, require_client_auth=True
    )

    with Gateway(credentials) as gateway:
        settings = {"ca_file": tmp_path / "ca.pem"}
        assert connect(gateway.address, **settings, certificate_file=certificate, key_file=key).info().reachable
        with pytest.raises(Unavailable):
            connect(gateway.address, **settings).info()


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def requiring_certificates(authority: Authority) -> Iterator[Gateway]:
    server = authority.issue("127.0.0.1")
    credentials = grpc.ssl_server_credentials(
        [(server.key, server.certificate)], root_certificates=authority.pem, require_client_auth=True
    )
    with Gateway(credentials) as gateway:
        yield gateway


def test_a_renewed_client_certificate_is_used_for_the_next_call(
    connect: Open, requiring_certificates: Gateway, authority: Authority, tmp_path: Path
) -> None:
    gateway = requiring_certificates
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    certificate, key = authority.issue("first").write(tmp_path, "client")
    client = connect(gateway.address, ca_file=tmp_path / "ca.pem", certificate_file=certificate, key_file=key)
    tags = iter(client.tags("many"))
    assert (next(tags), gateway.caller) == ("v0000", "first")
    listing = iter(client.catalog())
    assert next(listing).name == "empty"

    for name in ("second", "third"):
        renewed = authority.issue(name)
        # As Kubernetes does it: each file is replaced.
        for file, content in ((certificate, renewed.certificate), (key, renewed.key)):
            (tmp_path / "new").write_bytes(content)
            (tmp_path / "new").replace(file)
        client.info()
        assert gateway.caller == name
        client.info()
        assert gateway.caller == name

    # What was running goes on.
    assert [repository.name for repository in listing] == ["many", "team/app"]
    assert len(list(tags)) == 2499


@pytest.mark.parametrize("damage", ["certificate alone", "empty", "gone"])
def test_while_the_renewal_is_incomplete_the_client_uses_the_certificate_that_it_has(
    connect: Open, requiring_certificates: Gateway, authority: Authority, tmp_path: Path, damage: str
) -> None:
    gateway = requiring_certificates
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    certificate, key = authority.issue("first").write(tmp_path, "client")
    client = connect(gateway.address, ca_file=tmp_path / "ca.pem", certificate_file=certificate, key_file=key)
    renewed = authority.issue("second")
    match damage:
        case "certificate alone":
            certificate.write_bytes(renewed.certificate)
        case "empty":
            key.write_bytes(b"")
        case "gone":
            certificate.unlink()

    client.info()
    assert gateway.caller == "first"
    certificate.write_bytes(renewed.certificate)
    key.write_bytes(renewed.key)
    client.info()
    assert gateway.caller == "second"


def test_the_token_is_sent_with_every_call(connect: Open, gateway: Gateway) -> None:
    client = connect(gateway.address, token="s3cret")
    client.info()
    assert gateway.metadata["authorization"] == "Bearer s3cret"
    list(client.catalog())
    assert gateway.metadata["authorization"] == "Bearer s3cret"


def test_the_token_file_is_read_for_every_call(connect: Open, gateway: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    client = connect(gateway.address, token_file=file)
    client.info()
    assert gateway.metadata["authorization"] == "Bearer first"

    file.write_text("second\n")
    list(client.catalog())
    assert gateway.metadata["authorization"] == "Bearer second"


def test_an_invalid_token_file_fails_the_call_and_not_the_client(
    connect: Open, gateway: Gateway, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret")
    client = connect(gateway.address, token_file=file)

    file.unlink()
    with pytest.raises(Unauthenticated, match=r"cannot read the token file .*/token: No such file"):
        client.info()
    file.write_text("s3 cret")
    with pytest.raises(Unauthenticated, match="not visible ASCII") as raised:
        client.info()
    assert "s3" not in str(raised.value)
    assert gateway.requests == []

    file.write_text("s3cret")
    assert client.info().reachable


@pytest.mark.parametrize("content", [b"", b"s3 cret", b"\xffs3cret"])
def test_a_token_file_without_a_token_is_refused_at_once(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"{file}") as raised:
        RegistryClient("127.0.0.1:1", token_file=file)
    assert "s3" not in str(raised.value)
    with pytest.raises(FileNotFoundError):
        RegistryClient("127.0.0.1:1", token_file=tmp_path / "gone")
    with pytest.raises(ValueError, match="exclude each other"):
        RegistryClient("127.0.0.1:1", token="t", token_file=file)


def test_keepalive_ends_a_call_to_a_gateway_that_hangs(
    connect: Open, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "KEEPALIVE_TIME_MS", 1_000)
    monkeypatch.setattr(channel, "KEEPALIVE_TIMEOUT_MS", 1_000)
    with hanging_relay(gateway.address) as relay:
        client = connect(relay.address)
        assert client.info().reachable
        relay.hang()
        began = time.monotonic()
        with pytest.raises(Unavailable):
            client.delete_blob("team/app", LAYER_DIGEST, timeout=60)
        assert time.monotonic() - began < 30


def test_a_token_is_never_sent_in_plaintext_to_another_machine() -> None:
    with pytest.raises(ValueError, match="token") as raised:
        RegistryClient("gateway.example:50051", plaintext=True, token="s3cret")
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("token", ["", "s3cret\n", "s3 cret", "s3crét"])
def test_a_token_that_cannot_be_sent_is_refused_without_being_repeated(token: str) -> None:
    with pytest.raises(ValueError, match="token") as raised:
        RegistryClient("127.0.0.1:1", token=token)
    assert "s3" not in str(raised.value)


def test_the_token_is_in_no_repr() -> None:
    with RegistryClient("127.0.0.1:1", token="s3cret") as client:
        assert repr(client) == "RegistryClient('127.0.0.1:1')"
        assert "s3cret" not in repr(client._terms(None))


def test_tls_is_the_default_to_other_machines() -> None:
    def security(address: str, plaintext: bool | None) -> channel.Security | None:
        return channel.security(
            Address(address), plaintext=plaintext, ca_file=None, certificate_file=None, key_file=None
        )

    assert security("127.0.0.1:1", None) is None
    assert security("127.0.0.1:1", False) is not None
    assert security("gateway.example:1", None) is not None
    assert security("gateway.example:1", True) is None


def test_invalid_settings_are_refused_before_any_call(tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.issue("localhost").write(tmp_path, "one")
    _, other_key = authority.issue("localhost").write(tmp_path, "two")
    junk = tmp_path / "junk.pem"
    junk.write_bytes(b"\xff\x00 no certificate")
    address = "127.0.0.1:1"

    with pytest.raises(ValueError, match="needs both files"):
        RegistryClient(address, certificate_file=certificate)
    with pytest.raises(ValueError, match="exclude each other"):
        RegistryClient(address, plaintext=True, ca_file=certificate)
    with pytest.raises(ValueError, match="does not contain CA certificates"):
        RegistryClient(address, ca_file=junk)
    with pytest.raises(ValueError, match="are not a certificate and its unencrypted key"):
        RegistryClient(address, certificate_file=certificate, key_file=other_key)
    with pytest.raises(ValueError, match="are not a certificate and its unencrypted key"):
        RegistryClient(address, certificate_file=junk, key_file=key)
    with pytest.raises(FileNotFoundError):
        RegistryClient(address, ca_file=tmp_path / "missing.pem")
