"""Converts the error of a failed TLS handshake to one of our errors."""

import ssl

import aiohttp

from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.errors import DistributionError, Unreachable, WrongAddress
from portus_gateway.distribution.peer import Peer

# X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL.
_WRONG_NAME = frozenset({62, 64})
# What OpenSSL says of an answer that is not a TLS record: of version 1.1, of 3, and for an HTTP answer.
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"})


def tls_failure(error: Exception, peer: Peer, where: str) -> DistributionError:
    """The error for a handshake with `peer` that failed. `where` is its address.

    A wrong address of ours is `WrongAddress`: asking again does not help. The rest is `Unreachable`.
    """
    cause = _cause_of(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        detail = f"{where}: {cause.verify_message}"
        if cause.verify_code in _WRONG_NAME:
            return WrongAddress(
                f"the certificate of {peer.name} is for another host name",
                operator_detail=detail,
                concern=peer.address,
            )
        return Unreachable(
            f"the certificate of {peer.name} is not trusted",
            operator_detail=detail,
            concern=Concern.CA_FILE,
            sent=False,
        )
    reason = cause.reason if isinstance(cause, ssl.SSLError) else None
    if reason in _NO_TLS:
        return WrongAddress(
            f"{peer.name} does not use TLS, but its configured address begins with https://",
            operator_detail=where,
            concern=peer.address,
        )
    said = (reason or "the handshake failed").lower().replace("_", " ")
    return Unreachable(f"no TLS connection to {peer.name}: {said}", operator_detail=where, sent=False)


def _cause_of(error: Exception) -> BaseException:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return error.certificate_error
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error
    return error
