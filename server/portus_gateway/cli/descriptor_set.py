"""`portus-gateway descriptor-set`."""

import sys
from pathlib import Path

import click

from portus_gateway.rpc import descriptor_set as api


@click.command("descriptor-set")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write to.  [default: standard output, if it is not a terminal]",
)
def descriptor_set(output: Path | None) -> None:
    """Write the API as a descriptor set, with its comments, for buf, grpcurl and code generators."""
    content = api.descriptor_set()
    if output is not None:
        try:
            output.write_bytes(content)
        except OSError as error:
            raise click.ClickException(f"{output} cannot be written: {error.strerror}") from None
        return
    if sys.stdout.isatty():
        raise click.UsageError(f"this is binary data: give --output, such as --output {api.NAME}, or redirect it")
    sys.stdout.buffer.write(content)
