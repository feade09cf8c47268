"""`portus-client resolve`."""

import click

from portus_client.cli import json_output
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.names import note_host, parsed
from portus_client.cli.session import Session, Style, with_session
from portus_client.cli.terminal import printable
from portus_client.errors import NotFound
from portus_client.image_name import ImageName


@click.command()
@click.argument("image", callback=parsed(ImageName.parse))
@with_session
def resolve(session: Session, image: ImageName) -> ExitCode:
    """Say what a tag points to now.

    That is the digest, the media type, and the size in bytes (`-` where the registry does not say). Without a tag,
    `latest` is meant. With a digest: whether it exists.

    \b
    Examples:
      portus-client resolve team/app:1.0
      digest=$(portus-client resolve team/app:1.0 | cut -d' ' -f1)
    """
    with session.connect() as client:
        try:
            descriptor = client.resolve(image.repository, image.reference)
        except NotFound as error:
            note_host(error, image)
            raise
    if session.style is Style.JSON:
        json_output.write_document(json_output.descriptor(descriptor))
    else:
        size = "-" if descriptor.size is None else str(descriptor.size)
        click.echo(printable(f"{descriptor.digest} {descriptor.media_type} {size}"))
    return ExitCode.OK
