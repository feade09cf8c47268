"""Callers from client certificates. grpc has verified them against the client authority, or there are none."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from portus_gateway.access.caller import Caller
from portus_gateway.access.errors import Unauthenticated

# SPIFFE ID, "2. SPIFFE Identity": a trust domain, and a path without empty, `.` and `..` segments.
_SPIFFE: Final = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+)+")
_SPIFFE_SCHEME: Final = "spiffe:"


def caller_of_certificate(connection: Mapping[str, Iterable[bytes]]) -> Caller | None:
    """The caller whose certificate this connection has; None where it has none.

    Its SPIFFE ID, its DNS names, its common name are its principals, in this order. Raises `Unauthenticated` where
    there is a certificate that names nobody.
    """
    if "x509_pem_cert" not in connection:
        return None
    return _caller(
        tuple(connection.get("peer_uri", ())),
        tuple(connection.get("peer_dns", ())),
        tuple(connection.get("x509_common_name", ())),
    )


@lru_cache(maxsize=1024)
def _caller(uris: tuple[bytes, ...], dns_names: tuple[bytes, ...], common_names: tuple[bytes, ...]) -> Caller:
    try:
        principals = [*_spiffe_id([uri.decode() for uri in uris])]
        names = [name.decode().lower() for name in dns_names]
        # A name with a star in it is many hosts, and so no identity.
        principals += [f"dns:{name}" for name in names if name and "*" not in name]
        principals += [f"cn:{name}" for name in (common.decode() for common in common_names) if name]
        if principals:
            return Caller.known_as("certificate", principals)
    except ValueError as error:
        raise Unauthenticated("the client certificate has a name that cannot be used") from error
    raise Unauthenticated("the client certificate has no SPIFFE ID, no DNS name and no common name")


def _spiffe_id(uris: list[str]) -> list[str]:
    if not any(uri.lower().startswith(_SPIFFE_SCHEME) for uri in uris):
        return []
    # X509-SVID, "2. SPIFFE ID": exactly one URI, and with more than one it has to be rejected.
    if len(uris) != 1 or not _SPIFFE.fullmatch(uris[0]):
        raise Unauthenticated("the client certificate's SPIFFE ID is not valid, or not its only URI")
    return uris
