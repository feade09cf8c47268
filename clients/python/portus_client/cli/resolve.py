"""`portus-client resolve`."""

import click

from portus_client.cli import json_output
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.names import explaining_host, image_argument
from portus_client.cli.session import OutputFormat, Session, with_session
from portus_client.cli.terminal import printable
from portus_client.image_name import ImageName


@click.command()
@image_argument
@with_session
def resolve(session: Session, image: ImageName) -> ExitCode:
    """Show what a tag points to.

    Prints the digest, the media type and the size in bytes (`-` if the registry does not state it). The default tag is
    `latest`. With a digest, checks that it exists.

    \b
    Examples:
      portus-client resolve team/app:1.0
      digest=$(portus-client resolve team/app:1.0 | cut -d' ' -f1)
    """
    with session.connect() as client, explaining_host(image):
        descriptor = client.resolve(image.repository, image.reference)
    if session.output_format is OutputFormat.JSON:
        json_output.write_document(json_output.descriptor(descriptor))
    else:
        size = "-" if descriptor.size is None else str(descriptor.size)
        click.echo(printable(f"{descriptor.digest} {descriptor.media_type} {size}"))
    return ExitCode.OK
