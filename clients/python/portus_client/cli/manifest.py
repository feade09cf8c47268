"""`portus-client manifest`."""

from functools import partial

import click

from portus_client.cli import children, json_output, manifest_table
from portus_client.cli.children import Children
from portus_client.cli.document import Document
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.names import explaining_host, image_argument, platform_option
from portus_client.cli.session import OutputFormat, Session, with_session
from portus_client.descriptor import Platform
from portus_client.image_name import ImageName


@click.command()
@image_argument
@platform_option("For a multi-platform image, show the manifest for this platform: linux/arm64")
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
        shown = session.output_format is OutputFormat.TERMINAL and not raw
        found = children.read(client, image.repository, answer) if shown else Children()
    document = Document(
        raw=answer.raw,
        digest=answer.descriptor.digest,
        json=json_output.manifest(answer),
        show=partial(manifest_table.show, answer, found),
    )
    document.write(session.output_format, raw=raw)
    return ExitCode.OK
