"""`portus-client digest`."""

import click

from portus_client.cli import json_output
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.names import explaining_host, image_argument, platform_option
from portus_client.cli.session import OutputFormat, Session, with_session
from portus_client.cli.terminal import printable
from portus_client.descriptor import Platform
from portus_client.image_name import ImageName


@click.command()
@image_argument
@platform_option("For a multi-platform image: the digest of the image for this platform, such as linux/arm64")
@with_session
def digest(session: Session, image: ImageName, platform: Platform | None) -> ExitCode:
    """Print the digest that a tag points to, and nothing else.

    IMAGE is NAME[:TAG] or NAME@DIGEST. The default tag is `latest`. With a digest, checks that it exists. For a
    multi-platform image without --platform, it is the digest of the index.

    \b
    Examples:
      portus-client digest team/app:1.0
      portus-client digest team/app:1.0 --platform linux/arm64
      portus-client delete team/app "$(portus-client digest team/app:1.0)" manifests
    """
    with session.connect() as client, explaining_host(image):
        descriptor = client.resolve(image.repository, image.reference, platform=platform)
    if session.output_format is OutputFormat.JSON:
        json_output.write_document({"digest": descriptor.digest})
    else:
        click.echo(printable(descriptor.digest))
    return ExitCode.OK
