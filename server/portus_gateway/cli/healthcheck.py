"""`portus-gateway healthcheck`."""

import os

import click
import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from portus_gateway.listen_address import ListenAddress
from portus_gateway.rpc.service_names import HEALTH_SERVICE, REGISTRY_SERVICE
from portus_gateway.settings import Settings

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


@click.command()
@click.option("--address", metavar="HOST:PORT", help="The gateway.  [PORTUS_LISTEN; 127.0.0.1:50051]")
@click.option("--ready", is_flag=True, help="Ask whether the registry answers, too, not just whether the gateway does.")
@click.option("--timeout", type=click.FloatRange(0.1, 60), default=3.0, show_default=True, help="In seconds.")
def healthcheck(address: str | None, ready: bool, timeout: float) -> None:
    """Asks a gateway for its health: exit status 0 if it serves, 1 if not. For containers and init systems."""
    text = address or os.environ.get("PORTUS_LISTEN") or str(Settings.model_fields["listen"].default)
    try:
        listen = ListenAddress.parse(text)
    except ValueError as error:
        raise click.UsageError(f"{text!r}: {error}") from None
    target = ListenAddress(_WILDCARDS.get(listen.host, listen.host), listen.port)
    with grpc.insecure_channel(str(target), options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            check = channel.unary_unary(
                f"/{HEALTH_SERVICE}/Check", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
            )
            answer = check(HealthCheckRequest(service=REGISTRY_SERVICE if ready else ""), timeout=timeout)
        except grpc.RpcError as error:
            code = error.code().name if isinstance(error, grpc.Call) else "UNKNOWN"
            details = error.details() if isinstance(error, grpc.Call) else str(error)
            raise click.ClickException(f"{target}: {code}: {details}") from None
    status = HealthCheckResponse.ServingStatus.Name(answer.status)
    click.echo(status)
    if answer.status != HealthCheckResponse.SERVING:
        raise SystemExit(1)
