"""Who a client certificate names."""

import time
from datetime import timedelta

import pytest
from cryptography import x509

from portus_gateway.access.client_certificates import caller_of_certificate
from portus_gateway.access.errors import Unauthenticated
from tests.access.certificates import Authority, Pair

SPIFFE = "spiffe://example.org/team-a/ci"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def connection(pair: Pair) -> dict[str, list[bytes]]:
    """What gRPC says of a connection. All of it but the certificate is a trap: it must not count."""
    return {
        "x509_pem_cert": [pair.certificate],
        "x509_common_name": [b"root"],
        "peer_uri": [b"spiffe://example.org/root"],
        "peer_dns": [b"root.example.org"],
    }


def test_a_connection_without_a_certificate_has_no_caller() -> None:
    assert caller_of_certificate({"transport_security_type": [b"ssl"]}) is None


def test_all_names_of_a_certificate_are_principals_and_the_spiffe_id_goes_first(authority: Authority) -> None:
    pair = authority.issue(
        uris=[SPIFFE], dns=["CI.Example.org", "*.example.org", "b_1.example.org"], common_names=["ci"]
    )
    caller = caller_of_certificate(connection(pair))
    assert caller is not None
    assert (caller.name, caller.kind) == (SPIFFE, "certificate")
    assert caller.principals == {SPIFFE, "dns:ci.example.org", "dns:b_1.example.org", "cn:ci"}


@pytest.mark.parametrize(
    "names",
    [
        {"common_names": ["admin\0.evil.com"]},
        {"common_names": ["admin\n"]},
        {"common_names": ["ci", "admin"]},
        {"dns": ["admin.example.org\0.evil.com"]},
        {"dns": ["evil.com/.example.org"]},
        {"dns": ["evil com.example.org"]},
        {"dns": ["a..example.org"]},
        {"dns": [".example.org"]},
        {"dns": ["example.org."]},
        {"dns": ["-a.example.org"]},
        {"dns": ["x*.example.org"]},
        {"dns": ["a.*.example.org"]},
        {"dns": ["a" * 64 + ".example.org"]},
        {"dns": ["a." * 127 + "org"]},
        {"dns": [""]},
        # One bad name spoils the certificate: nobody knows what its CA took it for.
        {"dns": ["ci.example.org", "evil.com/.example.org"]},
        {"uris": ["spiffe://example.org/ci\0.evil.com"]},
        {"uris": [SPIFFE], "common_names": ["admin\0"]},
        {"uris": [SPIFFE, "spiffe://example.org/team-b/ci"]},
        {"uris": [SPIFFE, "https://example.org"]},
        {"uris": ["spiffe://example.org"], "common_names": ["ci"]},
        {"uris": ["spiffe://example.org/"]},
        {"uris": ["spiffe://example.org/team-a//ci"]},
        {"uris": ["spiffe://example.org/team-a/../team-b"]},
        {"uris": ["spiffe://example.org/./ci"]},
        {"uris": ["spiffe://example.org/ci?x"]},
        {"uris": ["spiffe://Example.org/ci"]},
        {"uris": ["SPIFFE://example.org/ci"], "common_names": ["ci"]},
        {"uris": ["spiffe:ci"], "common_names": ["ci"]},
    ],
    ids=str,
)
def test_a_certificate_with_a_malformed_name_identifies_nobody(
    authority: Authority, names: dict[str, list[str]]
) -> None:
    with pytest.raises(Unauthenticated):
        caller_of_certificate(connection(authority.issue(**names)))  # type: ignore[arg-type]


def test_a_certificate_has_a_limited_number_of_names(authority: Authority) -> None:
    names = [f"{number}.example.org" for number in range(99)]
    caller = caller_of_certificate(connection(authority.issue(uris=[SPIFFE], dns=names, common_names=["ci"])))
    assert caller is not None
    assert len(caller.principals) == 101
    with pytest.raises(Unauthenticated, match="too many names: at most 100 are allowed"):
        caller_of_certificate(connection(authority.issue(uris=[SPIFFE], dns=[*names, "*.example.org"])))


def test_a_certificate_has_a_limited_size(authority: Authority) -> None:
    content = authority.issue(common_names=["ci"]).certificate
    caller = caller_of_certificate({"x509_pem_cert": [content.ljust(16_384, b"\n")]})
    assert caller is not None
    assert caller.name == "cn:ci"
    for shown in ([content.ljust(16_385, b"\n")], [content, content.ljust(16_385, b"\n")]):
        with pytest.raises(Unauthenticated, match="too large: at most 16384 bytes"):
            caller_of_certificate({"x509_pem_cert": shown})


def test_validity_is_checked_in_every_call(authority: Authority) -> None:
    shown = connection(authority.issue(common_names=["ci"], lifetime=timedelta(hours=1), age=timedelta(hours=1)))
    start = time.time()
    for seconds in (-3500, 0, 3500):
        assert caller_of_certificate(shown, now=lambda: start + seconds) is not None  # noqa: B023
    for seconds in (-3700, 3700):
        with pytest.raises(Unauthenticated, match="not valid now"):
            caller_of_certificate(shown, now=lambda: start + seconds)  # noqa: B023


def test_a_certificate_is_valid_from_its_first_to_its_last_second(authority: Authority) -> None:
    pair = authority.issue(common_names=["ci"])
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    first, last = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    for moment in (first, last):
        assert caller_of_certificate(connection(pair), now=lambda: moment) is not None  # noqa: B023
    for moment in (first - 1, last + 1):
        with pytest.raises(Unauthenticated, match="not valid now"):
            caller_of_certificate(connection(pair), now=lambda: moment)  # noqa: B023


def test_a_connection_with_two_certificates_has_no_caller(authority: Authority) -> None:
    one, other = authority.issue(common_names=["ci"]), authority.issue(common_names=["admin"])
    with pytest.raises(Unauthenticated, match="more than one client certificate"):
        caller_of_certificate({"x509_pem_cert": [one.certificate, other.certificate]})


def test_a_certificate_without_names_identifies_nobody(authority: Authority) -> None:
    for pair in (authority.issue(), authority.issue(uris=["https://example.org"]), authority.issue(dns=["*.a.org"])):
        with pytest.raises(Unauthenticated, match="no SPIFFE ID, no DNS name and no common name"):
            caller_of_certificate(connection(pair))


@pytest.mark.filterwarnings("ignore:Attribute's length must be")
def test_an_empty_common_name_is_none(authority: Authority) -> None:
    caller = caller_of_certificate(connection(authority.issue(common_names=[""], dns=["ci.example.org"])))
    assert caller is not None
    assert caller.principals == {"dns:ci.example.org"}


def test_something_that_is_not_a_certificate_identifies_nobody() -> None:
    for shown in ([b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"], [b""], [b"\0"]):
        with pytest.raises(Unauthenticated):
            caller_of_certificate({"x509_pem_cert": shown})
