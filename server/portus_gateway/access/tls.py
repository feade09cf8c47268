"""The gateway's certificate, read again when it changes on disk: the next connection gets the new one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Final, cast

import grpc
import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from portus_gateway.access.errors import InvalidAccessFile
from portus_gateway.access.watched_file import WatchedFile

_LIMIT: Final = 1024 * 1024
_SOON: Final = timedelta(days=7)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A certificate with its chain, its key, and the authorities of clients, all in PEM form."""

    certificates: bytes
    key: bytes = field(repr=False)
    client_authorities: bytes | None


class ServerCertificate:
    """The certificate (with its chain) and the key in these files; `client_ca_file` has those who vouch for clients.

    The files are looked at whenever a client connects. A new pair that does not fit together, or cannot be read, is
    logged as an error, and the old one stays. gRPC's core takes TLS 1.2 and later only. Raises `InvalidAccessFile`
    where there is no valid pair to begin with.
    """

    def __init__(self, certificate_file: Path, key_file: Path, client_ca_file: Path | None = None) -> None:
        self._certificates = WatchedFile(certificate_file, _LIMIT)
        self._key = WatchedFile(key_file, _LIMIT)
        self._client_authorities = None if client_ca_file is None else WatchedFile(client_ca_file, _LIMIT)
        # Handshakes come on threads of gRPC's own.
        self._reading = Lock()
        self._pair = self._read()

    def credentials(self, *, client_certificates: bool) -> grpc.ServerCredentials:
        """For a port of a server. With `client_certificates`, whoever connects there needs one of `client_ca_file`.

        gRPC's Python has nothing between needing one and not asking for any: a gateway that takes tokens without
        certificates, and certificates as well, has a port for each.
        """
        if client_certificates and self._client_authorities is None:
            raise ValueError("client certificates need the authorities that vouch for them")
        served = self._pair

        def current() -> grpc.ServerCertificateConfiguration | None:
            nonlocal served
            newest = self._newest()
            if newest is served:
                return None
            served = newest
            return _configuration(newest)

        return grpc.dynamic_ssl_server_credentials(
            _configuration(served),
            # None, which the stubs do not know, is 'as it was'.
            cast("Callable[[], grpc.ServerCertificateConfiguration]", current),
            require_client_authentication=client_certificates,
        )

    def _newest(self) -> _Pair:
        with self._reading:
            if any(file.changed() for file in self._files()):
                try:
                    self._pair = self._read()
                except InvalidAccessFile as error:
                    _log.error(
                        "the new certificate is not valid and was not taken: the old one stays in use",
                        path=error.path,
                        problems=list(error.problems),
                    )
                else:
                    _log.info("certificate loaded", path=str(self._certificates.path))
            return self._pair

    def _files(self) -> list[WatchedFile]:
        files = [self._certificates, self._key]
        return files if self._client_authorities is None else [*files, self._client_authorities]

    def _read(self) -> _Pair:
        problems: list[str] = []
        # All of them, whatever is wrong with the first: what was read once is not looked at again until it changes.
        contents = [_content(file, problems) for file in self._files()]
        pair = _Pair(contents[0], contents[1], contents[2] if len(contents) > 2 else None)
        if not problems:
            problems += _problems(pair)
        if problems:
            raise InvalidAccessFile(str(self._certificates.path), problems)
        return pair


def _configuration(pair: _Pair) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(pair.key, pair.certificates)], root_certificates=pair.client_authorities
    )


def _content(file: WatchedFile, problems: list[str]) -> bytes:
    try:
        return file.read()
    except (OSError, ValueError) as error:
        problems.append(f"{file.path} cannot be read: {error}")
        return b""


def _problems(pair: _Pair) -> list[str]:
    """What is wrong with a pair. What is in the key's file is never told."""
    problems = []
    if pair.client_authorities is not None and not _certificates(pair.client_authorities):
        problems.append("the file of client authorities has no certificates in PEM form")
    chain = _certificates(pair.certificates)
    if not chain:
        return ["it has no certificates in PEM form", *problems]
    expires = chain[0].not_valid_after_utc
    now = datetime.now(UTC)
    if expires <= now:
        problems.append(f"the certificate has expired on {expires:%Y-%m-%d %H:%M} UTC")
    elif expires - now < _SOON:
        _log.warning("the certificate expires soon", expires=expires.isoformat())
    try:
        key = load_pem_private_key(pair.key, password=None)
    except TypeError:
        problems.append("the key is encrypted: it has to be one without a password")
    except (ValueError, UnsupportedAlgorithm):
        problems.append("the key's file has no private key in PEM form")
    else:
        if _encoded(key.public_key()) != _encoded(chain[0].public_key()):
            problems.append("the key is not that of the certificate, which has to be the first in its file")
    return problems


def _certificates(content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        return []


def _encoded(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
