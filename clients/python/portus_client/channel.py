"""Options and credentials of the gRPC channel, for both clients."""

import ssl
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import grpc

from portus_client.address import Address
from portus_client.client_certificate import ClientCertificate
from portus_client.file_path import FilePath
from portus_client.version import version

# A manifest has up to 4 MiB, and its parsed form in the same message can be larger. The gateway has the same limit.
MAX_RECEIVED_BYTES: Final = 16 * 1024 * 1024

# A gateway that hangs is noticed within the sum of the two (25 s), not at the call's deadline.
KEEPALIVE_TIME_MS: Final = 20_000
KEEPALIVE_TIMEOUT_MS: Final = 5_000


def options() -> tuple[tuple[str, str | int], ...]:
    """The channel's options. Retries and load balancing are those of `service_config.json`."""
    return (
        ("grpc.max_receive_message_length", MAX_RECEIVED_BYTES),
        ("grpc.service_config", service_config()),
        ("grpc.keepalive_time_ms", KEEPALIVE_TIME_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        # gRPC waits for the answer to a ping for this long, also for keepalive pings. The default is 60 s.
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        # The environment's proxy must not get internal calls (Portus #2312).
        ("grpc.enable_http_proxy", 0),
        ("grpc.primary_user_agent", f"portus-client/{version()}"),
    )


def service_config() -> str:
    """The gRPC service config as JSON: a copy of the file beside the .proto, which is for clients in all languages."""
    return resources.files("portus_client").joinpath("service_config.json").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Security:
    """TLS to the gateway."""

    roots: bytes | None
    """CA certificates in PEM format. None means the public CAs."""
    certificate: ClientCertificate | None
    """The client's own certificate, or None."""

    def credentials(self) -> grpc.ChannelCredentials:
        """Credentials for a channel, with the client certificate of this moment."""
        if self.certificate is None:
            return grpc.ssl_channel_credentials(self.roots)
        certificate, key = self.certificate.pair
        return grpc.ssl_channel_credentials(self.roots, private_key=key, certificate_chain=certificate)


def security(
    address: Address,
    *,
    plaintext: bool | None,
    ca_file: FilePath | None,
    certificate_file: FilePath | None,
    key_file: FilePath | None,
) -> Security | None:
    """TLS for the gateway at `address`, or None for plaintext.

    Raises `ValueError` for settings that contradict each other and for files with invalid content, `OSError` for files
    that cannot be read.
    """
    if (certificate_file is None) != (key_file is None):
        raise ValueError("a client certificate needs both files: the certificate and its key")
    tls_wanted = ca_file is not None or certificate_file is not None
    if plaintext and tls_wanted:
        raise ValueError("plaintext and TLS files exclude each other: leave one of them out")
    if plaintext or (plaintext is None and address.is_local and not tls_wanted):
        return None
    roots = None if ca_file is None else Path(ca_file).read_bytes()
    if roots is not None:
        _check_roots(roots, ca_file)
    if certificate_file is None or key_file is None:
        return Security(roots, None)
    return Security(roots, ClientCertificate(certificate_file, key_file))


def _check_roots(pem: bytes, path: FilePath | None) -> None:
    # gRPC only logs an invalid file, and each call then fails as UNAVAILABLE.
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode())
    except (ssl.SSLError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{path} does not contain CA certificates in PEM format") from error
