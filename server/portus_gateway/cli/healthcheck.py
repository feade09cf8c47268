"""`portus-gateway healthcheck`."""

import os
import time
from pathlib import Path

import click
import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from portus_gateway.listen_address import ListenAddress
from portus_gateway.rpc.service_names import HEALTH_SERVICE, REGISTRY_SERVICE
from portus_gateway.settings import Settings

# `::` means all addresses, IPv4 and IPv6, as far as the machine has them.
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "localhost"}  # noqa: S104
_AGAIN = 0.1

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
    text = address or os.environ.get("PORTUS_LISTEN") or str(Settings.model_fields["listen"].default)
    try:
        listen = ListenAddress.parse(text)
    except ValueError as error:
        raise click.UsageError(f"{text!r}: {error}") from None
    target = ListenAddress(_WILDCARDS.get(listen.host, listen.host), listen.port)
    own = os.environ.get("PORTUS_TLS_CERTIFICATE_FILE")
    options: list[tuple[str, int | str]] = [("grpc.enable_http_proxy", 0)]
    if ca_file is None and own and not address:
        # This is the gateway's own machine. Trust exactly its certificate, for any name that the certificate has.
        ca_file = Path(own)
        options.append(("grpc.ssl_target_name_override", _first_name(ca_file)))
    if ca_file is None:
        channel = grpc.insecure_channel(str(target), options)
    else:
        credentials = grpc.ssl_channel_credentials(
            ca_file.read_bytes(), key.read_bytes() if key else None, certificate.read_bytes() if certificate else None
        )
        channel = grpc.secure_channel(str(target), credentials, options)
    end = time.monotonic() + wait
    with channel:
        while True:
            answer = _answer(channel, REGISTRY_SERVICE if ready else "", timeout)
            if answer == "SERVING" or time.monotonic() >= end:
                break
            time.sleep(_AGAIN)
    if answer not in ("SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"):
        raise click.ClickException(f"{target}: {answer}")
    click.echo(answer)
    if answer != "SERVING":
        raise SystemExit(1)


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
        return f"{error.code().name}: {error.details()}" if isinstance(error, grpc.Call) else str(error)


def _first_name(file: Path) -> str:
    # Imported here because it takes long and is rarely needed.
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except OSError as error:
        raise click.ClickException(f"PORTUS_TLS_CERTIFICATE_FILE: {file} cannot be read: {error.strerror}") from None
    except ValueError:
        raise click.ClickException(f"PORTUS_TLS_CERTIFICATE_FILE: {file} has no certificate in PEM format") from None
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "localhost"
    return next(iter(names.get_values_for_type(x509.DNSName)), "localhost")
