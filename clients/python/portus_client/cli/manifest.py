"""`portus-client manifest`."""

import click

from portus_client.cli import exact_json, json_output, manifest_table
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.names import explaining_host, parsed
from portus_client.cli.session import OutputFormat, Session, with_session
from portus_client.cli.terminal import console, printable
from portus_client.descriptor import Platform
from portus_client.image_name import ImageName
from portus_client.manifest import Manifest


@click.command()
@click.argument("image", callback=parsed(ImageName.parse))
@click.option(
    "--platform",
    callback=parsed(Platform.parse),
    metavar="OS/ARCH[/VARIANT]",
    help="For a multi-platform image, show the manifest for this platform: linux/arm64",
)
@click.option("--raw", is_flag=True, help="Write only the exact bytes of the manifest.")
@with_session
def manifest(session: Session, image: ImageName, platform: Platform | None, raw: bool) -> ExitCode:
    """Show an image's manifest and its digest.

    IMAGE is NAME[:TAG] or NAME@DIGEST. The default tag is `latest`. On a terminal, it shows the layers or platforms
    with their sizes. In a pipe, it writes the manifest as JSON to standard output, and the digest to standard error.
    With --output json, it writes one object: the manifest is in `manifest`, beside `digest`, `media_type` and `size`.

    \b
    Examples:
      portus-client manifest team/app:1.0
      portus-client manifest team/app:1.0 --platform linux/arm64
      portus-client manifest team/app:1.0 | jq .layers
      portus-client manifest team/app:1.0 --output json | jq -r .digest
      portus-client manifest team/app:1.0 --raw | sha256sum
    """
    with session.connect() as client, explaining_host(image):
        answer = client.manifest(image.repository, image.reference, platform=platform)
    if raw:
        click.echo(answer.raw, nl=False)
    elif session.output_format is OutputFormat.JSON:
        json_output.write_document(json_output.manifest(answer))
    elif session.output_format is OutputFormat.TEXT:
        _write_text(answer)
    else:
        manifest_table.show(answer, console())
    return ExitCode.OK


def _write_text(answer: Manifest) -> None:
    document = json_output.manifest_document(answer)
    click.echo(document if isinstance(document, str) else exact_json.pretty(document))
    # Not on standard output: after the document, it would break programs that read JSON.
    click.echo(printable(answer.descriptor.digest), err=True)
