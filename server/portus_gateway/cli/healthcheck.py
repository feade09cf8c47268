"""`portus-gateway healthcheck`.

It runs every few seconds beside the gateway and shares its CPU limit. So it loads gRPC and the messages of the health
service, and nothing else.
"""

import os
import socket
import ssl
import time
from pathlib import Path

import click
import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from portus_gateway.listen_address import DEFAULT_LISTEN, ListenAddress
from portus_gateway.rpc.service_names import HEALTH_SERVICE, REGISTRY_SERVICE

# `::` means all addresses, IPv4 and IPv6, as far as the machine has them.
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "localhost"}  # noqa: S104
_AGAIN = 0.1

# What gRPC's words mean here. They follow in parentheses.
_MEANINGS = {
    "Connection refused": "nothing listens there: is the gateway running, and is the address right?",
    "Domain name not found": "the host name is not known: is the address right?",
    "WRONG_VERSION_NUMBER": "the gateway does not use TLS: leave --ca-file out",
    "Socket closed": "if the gateway uses TLS, give --ca-file",
    "Hostname Verification Check failed": "--address must be a name that the certificate has",
    "Failed to create security handshaker": "--ca-file, --certificate and --key must be files in PEM format",
    "CERTIFICATE_VERIFY_FAILED": "--ca-file must have the CA of the gateway's certificate",
}

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option(
    "--address", metavar="HOST:PORT", help="Address of the gateway.  [default: PORTUS_LISTEN, else 127.0.0.1:50051]"
)
@click.option(
    "--ready", is_flag=True, help="Also check whether the registry answers, not only whether the gateway serves."
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 60),
    default=3.0,
    show_default=True,
    help="Time limit for one check, in seconds.",
)
@click.option(
    "--wait",
    type=click.FloatRange(0, 600),
    default=0.0,
    help="Repeat the check for up to this many seconds until the gateway serves.",
)
@click.option(
    "--ca-file",
    type=_FILE,
    help="Use TLS and trust the CA certificates in this file (PEM).  [default: PORTUS_TLS_CERTIFICATE_FILE if"
    " --address is not given]",
)
@click.option("--certificate", type=_FILE, help="Client certificate (PEM), for mTLS.")
@click.option("--key", type=_FILE, help="Private key of the client certificate (PEM).")
def healthcheck(
    address: str | None,
    ready: bool,
    timeout: float,
    wait: float,
    ca_file: Path | None,
    certificate: Path | None,
    key: Path | None,
) -> None:
    """Check the health of a gateway, for containers and init systems. Exit status 0: it serves. 1: it does not."""
    if (certificate is None) != (key is None):
        raise click.UsageError("a client certificate needs both --certificate and --key")
    if certificate is not None and ca_file is None and (address or "PORTUS_TLS_CERTIFICATE_FILE" not in os.environ):
        raise click.UsageError("a client certificate needs TLS: also give --ca-file")
    for file in (certificate, key):
        # gRPC aborts the process if one of the two is empty.
        if file is not None and not file.read_bytes():
            raise click.UsageError(f"{file} is empty")
    text = address or os.environ.get("PORTUS_LISTEN") or str(DEFAULT_LISTEN)
    try:
        listen = ListenAddress.parse(text)
    except ValueError as error:
        raise click.UsageError(f"{text!r}: {error}") from None
    target = ListenAddress(_WILDCARDS.get(listen.host, listen.host), listen.port)
    end = time.monotonic() + wait
    while True:
        try:
            with _channel(target, ca_file, certificate, key, own=not address, timeout=timeout) as channel:
                answer = _answer(channel, REGISTRY_SERVICE if ready else "", timeout)
        except OSError as error:
            answer = f"UNAVAILABLE: {error}"
        if answer == "SERVING" or time.monotonic() >= end:
            break
        time.sleep(_AGAIN)
    if answer not in ("SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"):
        raise click.ClickException(f"{target}: {answer}")
    click.echo(answer)
    if answer != "SERVING":
        raise SystemExit(1)


def _channel(
    target: ListenAddress,
    ca_file: Path | None,
    certificate: Path | None,
    key: Path | None,
    *,
    own: bool,
    timeout: float,
) -> grpc.Channel:
    """A channel to the gateway. With `own`, it is the gateway of this machine, with the settings of the environment.

    Raises `OSError` if the gateway of this machine does not show its certificate.
    """
    options: list[tuple[str, int | str]] = [("grpc.enable_http_proxy", 0)]
    configured = os.environ.get("PORTUS_TLS_CERTIFICATE_FILE")
    if ca_file is None and own and configured:
        # Trust exactly the certificate in the settings, for any name that it has.
        ca_file = Path(configured)
        options.append(("grpc.ssl_target_name_override", _name_in_certificate(target, ca_file, timeout)))
    if ca_file is None:
        return grpc.insecure_channel(str(target), options)
    credentials = grpc.ssl_channel_credentials(
        ca_file.read_bytes(), key.read_bytes() if key else None, certificate.read_bytes() if certificate else None
    )
    return grpc.secure_channel(str(target), credentials, options)


def _answer(channel: grpc.Channel, service: str, timeout: float) -> str:
    """The name of the health status, or the error if there is no answer."""
    check = channel.unary_unary(
        f"/{HEALTH_SERVICE}/Check", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
    )
    try:
        return HealthCheckResponse.ServingStatus.Name(
            check(HealthCheckRequest(service=service), timeout=timeout).status
        )
    except grpc.RpcError as error:
        if not isinstance(error, grpc.Call):
            return str(error)
        details = error.details() or ""
        status = f"{error.code().name}: {details}"
        return next((f"{meaning} ({status})" for sign, meaning in _MEANINGS.items() if sign in details), status)


def _name_in_certificate(target: ListenAddress, file: Path, timeout: float) -> str:
    """A host name in the certificate that the gateway shows, which has to be the one in `file`.

    The gateway is asked because `ssl` does not parse files, and a library that does takes long to load.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols(["h2"])
    try:
        context.load_verify_locations(file)
    except ssl.SSLError:
        raise click.ClickException(f"PORTUS_TLS_CERTIFICATE_FILE: {file} has no certificate in PEM format") from None
    except OSError as error:
        raise click.ClickException(f"PORTUS_TLS_CERTIFICATE_FILE: {file} cannot be read: {error.strerror}") from None
    with (
        socket.create_connection((target.host, target.port), timeout) as plain,
        context.wrap_socket(plain) as connection,
    ):
        certificate = connection.getpeercert() or {}
    for entry in certificate.get("subjectAltName", ()):
        match entry:
            case ("DNS", str() as name):
                return name
    return "localhost"
