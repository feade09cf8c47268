"""How a gRPC channel to the gateway is set up, for both clients."""

import ssl
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Final

import grpc

from portus_client.address import Address
from portus_client.version import version

# A manifest of 4 MiB, and beside it what it says, which can take more. The gateway sends no larger messages either.
MAX_RECEIVED_BYTES: Final = 16 * 1024 * 1024

FilePath = str | PathLike[str]


def options() -> tuple[tuple[str, str | int], ...]:
    """The channel's options: sizes, retries and load balancing as in `service_config.json`, no proxy."""
    return (
        ("grpc.max_receive_message_length", MAX_RECEIVED_BYTES),
        ("grpc.service_config", service_config()),
        # A proxy in the environment is for the world outside, and took over internal calls (Portus #2312).
        ("grpc.enable_http_proxy", 0),
        ("grpc.primary_user_agent", f"portus-client/{version()}"),
    )


def service_config() -> str:
    """The gRPC service config, as JSON: the same file that stands beside the .proto for clients in other languages."""
    return resources.files("portus_client").joinpath("service_config.json").read_text(encoding="utf-8")


def credentials(
    address: Address,
    *,
    plaintext: bool | None,
    ca_file: FilePath | None,
    certificate_file: FilePath | None,
    key_file: FilePath | None,
) -> grpc.ChannelCredentials | None:
    """TLS credentials for the gateway at `address`; None for plaintext.

    Raises `ValueError` for settings that contradict each other and for files that hold something else, `OSError` for
    files that cannot be read.
    """
    if (certificate_file is None) != (key_file is None):
        raise ValueError("a client certificate needs both: the certificate's file and its key's file")
    tls_wanted = ca_file is not None or certificate_file is not None
    if plaintext and tls_wanted:
        raise ValueError("plaintext and files for TLS exclude each other: leave one out")
    if plaintext or (plaintext is None and address.local and not tls_wanted):
        return None
    roots = None if ca_file is None else Path(ca_file).read_bytes()
    if roots is not None:
        _check_roots(roots, ca_file)
    if certificate_file is None or key_file is None:
        return grpc.ssl_channel_credentials(roots)
    _check_pair(certificate_file, key_file)
    return grpc.ssl_channel_credentials(
        roots, private_key=Path(key_file).read_bytes(), certificate_chain=Path(certificate_file).read_bytes()
    )


def _check_roots(pem: bytes, path: FilePath | None) -> None:
    # gRPC itself would only log this, and then say of every call that the gateway is unavailable.
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode())
    except (ssl.SSLError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{path}: no certificates of an authority in PEM form") from error


def _check_pair(certificate_file: FilePath, key_file: FilePath) -> None:
    try:
        # With an empty password an encrypted key is an error, not a question on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate_file, key_file, password="")
    except ssl.SSLError as error:
        raise ValueError(
            f"{certificate_file} and {key_file}: no certificate and its unencrypted key in PEM form"
        ) from error
