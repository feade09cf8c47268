"""`portus-client config`."""

import click

from portus_client.cli import config_table, exact_json, json_output
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.names import explaining_host, parsed
from portus_client.cli.session import OutputFormat, Session, with_session
from portus_client.cli.terminal import console, printable
from portus_client.descriptor import Platform
from portus_client.image_config import ImageConfig
from portus_client.image_name import ImageName


@click.command()
@click.argument("image", callback=parsed(ImageName.parse))
@click.option(
    "--platform",
    callback=parsed(Platform.parse),
    metavar="OS/ARCH[/VARIANT]",
    help="The image for this platform; required for a multi-platform image: linux/arm64",
)
@click.option("--raw", is_flag=True, help="Write only the exact bytes of the configuration.")
@with_session
def config(session: Session, image: ImageName, platform: Platform | None, raw: bool) -> ExitCode:
    """Show an image's configuration: when it was built, its labels, and what it runs.

    IMAGE is NAME[:TAG] or NAME@DIGEST. The default tag is `latest`. In a pipe, it writes the configuration as JSON to
    standard output, and its digest, which is the image id, to standard error. With --output json, it writes one object:
    the configuration is in `config`, beside its `digest`, and the digest of the manifest is in `manifest`.

    \b
    Examples:
      portus-client config team/app:1.0
      portus-client config team/app:1.0 --platform linux/arm64
      portus-client config team/app:1.0 | jq .config.Labels
      portus-client config team/app:1.0 --raw | sha256sum
    """
    with session.connect() as client, explaining_host(image):
        answer = client.image_config(image.repository, image.reference, platform=platform)
    if raw:
        click.echo(answer.raw, nl=False)
    elif session.output_format is OutputFormat.JSON:
        json_output.write_document(json_output.image_config(answer))
    elif session.output_format is OutputFormat.TEXT:
        _write_text(answer)
    else:
        config_table.show(answer, console())
    return ExitCode.OK


def _write_text(answer: ImageConfig) -> None:
    document = json_output.document(answer.raw)
    click.echo(document if isinstance(document, str) else exact_json.pretty(document))
    # Not on standard output: after the document, it would break programs that read JSON.
    click.echo(printable(answer.config.digest), err=True)
