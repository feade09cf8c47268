"""`portus-client manifest`."""

import json

import click

from portus_client.cli import json_output, manifest_table
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.names import note_host, parsed
from portus_client.cli.session import Session, Style, with_session
from portus_client.cli.terminal import console, printable
from portus_client.descriptor import Platform
from portus_client.errors import NotFound
from portus_client.image_name import ImageName
from portus_client.manifest import Manifest


@click.command()
@click.argument("image", callback=parsed(ImageName.parse))
@click.option(
    "--platform",
    callback=parsed(Platform.parse),
    metavar="OS/ARCH[/VARIANT]",
    help="Of an image for several platforms, the manifest for this one: linux/arm64",
)
@click.option("--raw", is_flag=True, help="The manifest's exact bytes, and nothing else.")
@with_session
def manifest(session: Session, image: ImageName, platform: Platform | None, raw: bool) -> ExitCode:
    """Show an image's manifest and its digest.

    IMAGE is NAME[:TAG] or NAME@DIGEST; without either, `latest` is meant. On a terminal: its layers or platforms, with
    their sizes. In a pipe: the manifest as JSON, and on the last line its digest. With --output json: one object,
    with the manifest in `manifest`, beside `digest`, `media_type` and `size`.

    \b
    Examples:
      portus-client manifest team/app:1.0
      portus-client manifest team/app:1.0 --platform linux/arm64
      portus-client manifest team/app:1.0 --output json | jq .manifest.layers
      portus-client manifest team/app:1.0 --raw | sha256sum
    """
    with session.connect() as client:
        try:
            answer = client.manifest(image.repository, image.reference, platform=platform)
        except NotFound as error:
            note_host(error, image)
            raise
    if raw:
        click.echo(answer.raw, nl=False)
    elif session.style is Style.JSON:
        json_output.write_document(json_output.manifest(answer))
    elif session.style is Style.TEXT:
        _write_text(answer)
    else:
        manifest_table.show(answer, console())
    return ExitCode.OK


def _write_text(answer: Manifest) -> None:
    document = json_output.manifest_document(answer)
    click.echo(document if isinstance(document, str) else json.dumps(document, indent=2))
    click.echo(printable(answer.descriptor.digest))
