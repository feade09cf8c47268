"""`portus-client batch`."""

import sys
from collections.abc import Sequence

import click

from portus_client.batch import ManifestRequest
from portus_client.cli import completion, json_output, manifest_lines
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.names import parsed, platform_option
from portus_client.cli.progress_line import counted
from portus_client.cli.session import OutputFormat, Session, with_session
from portus_client.descriptor import Platform
from portus_client.errors import RegistryError
from portus_client.image_name import ImageName

_STANDARD_INPUT = "-"


def _images(text: str) -> list[ImageName]:
    return _read() if text == _STANDARD_INPUT else [ImageName.parse(text)]


def _read() -> list[ImageName]:
    images = []
    for number, line in enumerate(sys.stdin.buffer, 1):
        # Bytes that are not UTF-8 are shown escaped in the error message.
        name = line.decode(errors="backslashreplace").strip()
        if name:
            try:
                images.append(ImageName.parse(name))
            except ValueError as error:
                raise ValueError(f"standard input, line {number}: {error}") from error
    return images


@click.command()
@click.argument(
    "images", metavar="IMAGE...", nargs=-1, required=True, callback=parsed(_images), shell_complete=completion.images
)
@platform_option("For a multi-platform image, show the manifest for this platform: linux/arm64")
@with_session
def batch(session: Session, images: Sequence[Sequence[ImageName]], platform: Platform | None) -> ExitCode:
    """Look up the digests of many images.

    An IMAGE is NAME[:TAG] or NAME@DIGEST. `-` reads names from standard input, one per line. In a pipe, each line has
    the name and its digest, or `?` and the reason, in the order of the names. With --output json, there is one object
    per line, printed as soon as it is known: `index` is the position of the name, `manifest` is the manifest. The exit
    status is 6 if some manifests could not be fetched.

    \b
    Examples:
      portus-client batch team/app:1.0 team/worker:2.1
      portus-client batch - --output json < images.txt
      portus-client tags team/app | sed 's|^|team/app:|' | portus-client batch -
    """
    wanted = [image for group in images for image in group]
    requests = [ManifestRequest(image.repository, image.reference, platform) for image in wanted]
    with session.connect() as client:
        results = client.batch_manifests(requests)
        if session.output_format is not OutputFormat.JSON:
            failed = manifest_lines.show(session.output_format, "Image", list(map(str, wanted)), results)
            return manifest_lines.report(failed, len(wanted))
        failed = 0
        for result in counted(results, "manifests", len(wanted)):
            failed += isinstance(result.outcome, RegistryError)
            image = str(wanted[result.index])
            json_output.write_line({"index": result.index, "image": image, **json_output.outcome(result.outcome)})
    return manifest_lines.report(failed, len(wanted))
