"""The command `portus-gateway`."""

import click

from portus_gateway import __version__, quiet_grpc  # noqa: F401  (before whatever imports grpc)
from portus_gateway.cli.dev import dev
from portus_gateway.cli.dev_token_service import dev_token_service
from portus_gateway.cli.healthcheck import healthcheck
from portus_gateway.cli.policy import policy
from portus_gateway.cli.serve import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="portus-gateway")
def main() -> None:
    """A typed gRPC API to a Docker Distribution (OCI) registry."""


main.add_command(serve)
main.add_command(dev)
main.add_command(dev_token_service)
main.add_command(healthcheck)
main.add_command(policy)
