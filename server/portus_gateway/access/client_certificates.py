"""Callers from client certificates. gRPC's core has verified each one against the client CA, in its handshake.

Everything is read from the certificate itself. What the handshake says of it (`auth_context`) is not enough: it cuts
names at a NUL, and a resumed TLS session is not asked again whether its certificate is still valid.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from portus_gateway.access.caller import Caller
from portus_gateway.access.errors import Unauthenticated

if TYPE_CHECKING:
    from cryptography import x509

_PEM: Final = "x509_pem_cert"
# SPIFFE ID, "2. SPIFFE Identity": a trust domain, and a path without empty, `.` and `..` segments.
_SPIFFE: Final = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+)+")
_SPIFFE_SCHEME: Final = "spiffe:"
# RFC 1123, 2.1, with the underscore that many names in use have. A star may stand for the first label (RFC 6125).
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DNS_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z)(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_UNUSABLE: Final = "the client certificate has a name that cannot be used"
# In PEM form. A handshake takes more than 100 KiB, and 1024 certificates are kept.
_MOST_BYTES: Final = 16 * 1024
# The policy compares each name with each rule.
_MOST_NAMES: Final = 100


@dataclass(frozen=True, slots=True)
class _Identity:
    """Who a certificate names, and when it is valid, in seconds since 1970."""

    caller: Caller
    valid_from: float
    valid_until: float


def caller_of_certificate(
    connection: Mapping[str, Iterable[bytes]], *, now: Callable[[], float] = time.time
) -> Caller | None:
    """The caller whose certificate this connection has; None if it has none.

    Its SPIFFE ID, its DNS names and its common name are its principals, in this order. Raises `Unauthenticated` for a
    certificate that is not valid now, that names nobody, one of whose names is malformed, that is larger than 16 KiB,
    or that has more than 100 names.
    """
    shown = tuple(connection.get(_PEM, ()))
    if not shown:
        return None
    if max(map(len, shown)) > _MOST_BYTES:
        raise Unauthenticated(f"the client certificate is too large: at most {_MOST_BYTES} bytes are allowed (PEM)")
    identity = _identity(shown)
    if not identity.valid_from <= now() <= identity.valid_until:
        raise Unauthenticated("the client certificate is not valid now: it has expired, or is not valid yet")
    return identity.caller


# Most callers keep a certificate for hours. Errors are not kept: there could be any number of them.
@lru_cache(maxsize=1024)
def _identity(shown: tuple[bytes, ...]) -> _Identity:
    # Imported only where it is used: the import takes a tenth of the start-up time.
    from cryptography import x509

    if len(shown) != 1:
        raise Unauthenticated("the connection has more than one client certificate")
    try:
        certificate = x509.load_pem_x509_certificate(shown[0])
        caller = _caller(certificate)
        return _Identity(
            caller,
            valid_from=_seconds(certificate.not_valid_before_utc),
            valid_until=_seconds(certificate.not_valid_after_utc),
        )
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise Unauthenticated(_UNUSABLE) from error


def _caller(certificate: "x509.Certificate") -> Caller:
    """Raises `ValueError` for a malformed name."""
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if len(list(names)) > _MOST_NAMES:
            raise Unauthenticated(f"the client certificate has too many names: at most {_MOST_NAMES} are allowed")
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        dns_names = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    except x509.ExtensionNotFound:
        uris, dns_names = [], []
    common_names = [
        attribute.value for attribute in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    ]
    principals = _spiffe_id(uris)
    for name in dns_names:
        if not _DNS_NAME.fullmatch(name):
            raise ValueError("a DNS name is malformed")
        # A name with a wildcard means many hosts, so it identifies nobody.
        if not name.startswith("*"):
            principals.append(f"dns:{name}")
    if len(common_names) > 1:
        raise ValueError("it has more than one common name")
    for common_name in common_names:
        if not isinstance(common_name, str):
            raise ValueError("the common name is not text")
        if common_name:
            principals.append(f"cn:{common_name}")
    if not principals:
        raise Unauthenticated("the client certificate has no SPIFFE ID, no DNS name and no common name")
    return Caller.known_as("certificate", principals)


def _spiffe_id(uris: list[str]) -> list[str]:
    if not any(uri.lower().startswith(_SPIFFE_SCHEME) for uri in uris):
        return []
    # X509-SVID, "2. SPIFFE ID": exactly one URI; a certificate with more than one has to be rejected.
    if len(uris) != 1 or not _SPIFFE.fullmatch(uris[0]):
        raise Unauthenticated("the client certificate's SPIFFE ID is not valid, or not its only URI")
    return uris


def _seconds(moment: datetime) -> float:
    # RFC 5280, 4.1.2.5: 99991231235959Z means that there is no end. `timestamp` can represent it.
    return moment.astimezone(UTC).timestamp()
