"""The gateway's certificate, read again when it changes on disk: the next connection gets the new one."""

import ssl
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
from portus_gateway.access.watched_file import WatchedFile, reason

_LIMIT: Final = 1024 * 1024
_SOON: Final = timedelta(days=7)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A certificate with its chain, its key, and the CA of clients, all in PEM form."""

    certificates: bytes
    key: bytes = field(repr=False)
    client_authorities: bytes | None
    expires: float
    """In seconds since 1970."""


class ServerCertificate:
    """A certificate with its chain and key, from files. `client_ca_file` is the CA that signs client certificates.

    The files are checked for changes whenever a client connects. A new pair that does not match, or cannot be read, is
    logged as an error, and the old one stays in use. gRPC's core accepts TLS 1.2 and later only. Raises
    `InvalidAccessFile` where there is no valid pair at the start.
    """

    def __init__(self, certificate_file: Path, key_file: Path, client_ca_file: Path | None = None) -> None:
        self._certificates = WatchedFile(certificate_file, _LIMIT)
        self._key = WatchedFile(key_file, _LIMIT)
        self._client_authorities = None if client_ca_file is None else WatchedFile(client_ca_file, _LIMIT)
        # Handshakes run on gRPC's own threads.
        self._reading = Lock()
        self._problems: tuple[str, ...] = ()
        self._loads = 1
        self._failures = 0
        self._pair = self._read()

    @property
    def expires(self) -> float:
        """When the certificate in use expires, in seconds since 1970. Looks for a new one first."""
        return self._newest().expires

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the files as they are now, so that an older pair is in use."""
        return self._problems

    @property
    def loads(self) -> int:
        """How often a pair was loaded, the first time included."""
        return self._loads

    @property
    def failures(self) -> int:
        """How often changed files could not be used. A problem that lasts counts once."""
        return self._failures

    def credentials(self, *, client_certificates: bool) -> grpc.ServerCredentials:
        """For a port of a server. With `client_certificates`, clients need a certificate of `client_ca_file`.

        gRPC for Python can only require certificates or not ask for them. A gateway that accepts callers with and
        without certificates therefore has a port for each.
        """
        if client_certificates and self._client_authorities is None:
            raise ValueError("client certificates need the CA that signs them")
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
            # None, which the stubs do not know, means no change.
            cast("Callable[[], grpc.ServerCertificateConfiguration]", current),
            require_client_authentication=client_certificates,
        )

    def http_context(self) -> ssl.SSLContext:
        """For a server over HTTP. Clients need no certificate."""
        served = self._pair
        context = self._loaded_context()

        def renew(connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            nonlocal served, context
            newest = self._newest()
            if newest is not served:
                context, served = self._loaded_context(), newest
            connection.context = context

        first = context
        first.sni_callback = renew
        return first

    def _loaded_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._certificates.path, self._key.path)
        return context

    def _newest(self) -> _Pair:
        with self._reading:
            if any(file.changed() for file in self._files()):
                try:
                    self._pair = self._read()
                except InvalidAccessFile as error:
                    self._tell(error)
                else:
                    self._problems = ()
                    self._loads += 1
                    _log.info("certificate loaded", path=str(self._certificates.path))
            return self._pair

    def _tell(self, error: InvalidAccessFile) -> None:
        # A file that cannot be read is tried again for each connection.
        if error.problems != self._problems:
            self._failures += 1
            _log.error(
                "the new certificate is not valid and was not taken: the old one stays in use",
                path=error.path,
                problems=list(error.problems),
            )
        self._problems = error.problems

    def _files(self) -> list[WatchedFile]:
        files = [self._certificates, self._key]
        return files if self._client_authorities is None else [*files, self._client_authorities]

    def _read(self) -> _Pair:
        problems: list[str] = []
        # All are read, also after a mistake: a file that was read is not read again until it changes.
        contents = [self._content(file, problems) for file in self._files()]
        client_authorities = contents[2] if len(contents) > 2 else None
        pair = _Pair(contents[0], contents[1], client_authorities, _expiry(contents[0]))
        if not problems:
            problems += _problems(pair)
        if problems:
            raise InvalidAccessFile(str(self._certificates.path), problems)
        return pair

    def _content(self, file: WatchedFile, problems: list[str]) -> bytes:
        try:
            return file.read()
        except (OSError, ValueError) as error:
            # The error has the name of the certificate's file.
            named = "" if file is self._certificates else f"{file.path} "
            problems.append(f"{named}cannot be read: {reason(error)}")
            return b""


def _configuration(pair: _Pair) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(pair.key, pair.certificates)], root_certificates=pair.client_authorities
    )


def _problems(pair: _Pair) -> list[str]:
    """What is wrong with a pair. The content of the key file is never shown."""
    problems = []
    if pair.client_authorities is not None and not _certificates(pair.client_authorities):
        problems.append("the client CA file has no certificates in PEM form")
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
        problems.append("the key is encrypted: use a key without a passphrase")
    except (ValueError, UnsupportedAlgorithm):
        problems.append("the key's file has no private key in PEM form")
    else:
        if _encoded(key.public_key()) != _encoded(chain[0].public_key()):
            problems.append("the key does not belong to the first certificate of the file")
    return problems


def _expiry(content: bytes) -> float:
    """When the first certificate expires; 0 if there is none."""
    chain = _certificates(content)
    return chain[0].not_valid_after_utc.timestamp() if chain else 0.0


def _certificates(content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        return []


def _encoded(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
