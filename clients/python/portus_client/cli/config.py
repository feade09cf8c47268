"""`portus-client config`."""

from functools import partial

import click

from portus_client.cli import config_table, json_output
from portus_client.cli.document import Document
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.names import explaining_host, image_argument, platform_option
from portus_client.cli.session import Session, with_session
from portus_client.descriptor import Platform
from portus_client.image_name import ImageName


@click.command(short_help="Show when an image was built, its labels, and what it runs.")
@image_argument
@platform_option("The image for this platform; required for a multi-platform image: linux/arm64")
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
    document = Document(
        raw=answer.raw,
        digest=answer.config.digest,
        json=json_output.image_config(answer),
        show=partial(config_table.show, answer),
    )
    document.write(session.output_format, raw=raw)
    return ExitCode.OK
