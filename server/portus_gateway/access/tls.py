"""The gateway's certificate, read again when it changes on disk: the next connection gets the new one."""

import ssl
from collections.abc import Callable, Mapping
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

from portus_gateway.access.errors import InvalidTlsFiles, TlsFile, TlsProblem
from portus_gateway.access.watched_file import WatchedFile, reason

_LIMIT: Final = 1024 * 1024
_SOON: Final = timedelta(days=7)
_NO_CERTIFICATE: Final = "contains no certificate in PEM format, or a damaged one"
_OTHER_KEY: Final = "the key does not belong to the first certificate in the certificate file"
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
    `InvalidTlsFiles` where there is no valid pair at the start.
    """

    def __init__(self, certificate_file: Path, key_file: Path, client_ca_file: Path | None = None) -> None:
        paths = {TlsFile.CERTIFICATE: certificate_file, TlsFile.KEY: key_file}
        if client_ca_file is not None:
            paths[TlsFile.CLIENT_CA] = client_ca_file
        self._files = {kind: WatchedFile(path, _LIMIT) for kind, path in paths.items()}
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
        if client_certificates and TlsFile.CLIENT_CA not in self._files:
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
        context.load_cert_chain(self._files[TlsFile.CERTIFICATE].path, self._files[TlsFile.KEY].path)
        return context

    def _newest(self) -> _Pair:
        with self._reading:
            if any(file.changed() for file in self._files.values()):
                try:
                    self._pair = self._read()
                except InvalidTlsFiles as error:
                    self._tell(error)
                else:
                    self._problems = ()
                    self._loads += 1
                    _log.info("certificate loaded", path=str(self._files[TlsFile.CERTIFICATE].path))
            return self._pair

    def _tell(self, error: InvalidTlsFiles) -> None:
        problems = tuple(map(str, error.problems))
        # A file that cannot be read is tried again for each connection.
        if problems != self._problems:
            self._failures += 1
            _log.error(
                "the new certificate, key or client CA is not valid and was not taken: the old one stays in use",
                problems=list(problems),
            )
        self._problems = problems

    def _read(self) -> _Pair:
        contents: dict[TlsFile, bytes] = {}
        wrong: list[tuple[TlsFile, str]] = []
        # All are read, also after a mistake: a file that was read is not read again until it changes.
        for kind, file in self._files.items():
            try:
                contents[kind] = file.read()
            except (OSError, ValueError) as error:
                wrong.append((kind, f"cannot be read: {reason(error)}"))
        chain = _certificates(contents.get(TlsFile.CERTIFICATE, b""))
        wrong += _problems(contents, chain)
        if wrong:
            raise InvalidTlsFiles([TlsProblem(kind, self._files[kind].path, text) for kind, text in wrong])
        return _Pair(
            contents[TlsFile.CERTIFICATE],
            contents[TlsFile.KEY],
            contents.get(TlsFile.CLIENT_CA),
            chain[0].not_valid_after_utc.timestamp(),
        )


def _configuration(pair: _Pair) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(pair.key, pair.certificates)], root_certificates=pair.client_authorities
    )


def _problems(contents: Mapping[TlsFile, bytes], chain: list[x509.Certificate]) -> list[tuple[TlsFile, str]]:
    """What is wrong with the files that could be read. The content of the key file is never shown.

    `chain` has the certificates of the certificate file.
    """
    problems = []
    if chain:
        expires = chain[0].not_valid_after_utc
        now = datetime.now(UTC)
        if expires <= now:
            problems.append((TlsFile.CERTIFICATE, f"the certificate has expired on {expires:%Y-%m-%d %H:%M} UTC"))
        elif expires - now < _SOON:
            _log.warning("the certificate expires soon", expires=expires.isoformat())
    elif TlsFile.CERTIFICATE in contents:
        problems.append((TlsFile.CERTIFICATE, _NO_CERTIFICATE))
    if TlsFile.KEY in contents:
        try:
            key = load_pem_private_key(contents[TlsFile.KEY], password=None)
        except TypeError:
            problems.append((TlsFile.KEY, "the key is encrypted: use a key without a passphrase"))
        except (ValueError, UnsupportedAlgorithm):
            problems.append((TlsFile.KEY, "contains no private key in PEM format"))
        else:
            if chain and _encoded(key.public_key()) != _encoded(chain[0].public_key()):
                problems.append((TlsFile.KEY, _OTHER_KEY))
    if TlsFile.CLIENT_CA in contents and not _certificates(contents[TlsFile.CLIENT_CA]):
        problems.append((TlsFile.CLIENT_CA, _NO_CERTIFICATE))
    return problems


def _certificates(content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        return []


def _encoded(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
