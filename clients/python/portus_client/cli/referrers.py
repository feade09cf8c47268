"""`portus-client referrers`."""

import click
from rich.console import Console
from rich.text import Text

from portus_client.cli import failures, json_output
from portus_client.cli.columns import Columns
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.names import explaining_host, image_argument, platform_option
from portus_client.cli.session import OutputFormat, Session, with_session
from portus_client.cli.terminal import SHORT_DIGEST, console, print_error, printable, short_digest, size
from portus_client.descriptor import Platform
from portus_client.image_name import ImageName
from portus_client.referrer import Referrer

_SOURCE_WIDTH = len("referrers API")


@click.command()
@image_argument
@click.option("--type", "artifact_type", metavar="TYPE", default="", help="List only this artifact type.")
@platform_option("For a multi-platform image: the referrers of the image for this platform, such as linux/arm64")
@with_session
def referrers(session: Session, image: ImageName, artifact_type: str, platform: Platform | None) -> ExitCode:
    """List what refers to an image: signatures, attestations, SBOMs.

    Each line has the digest of the referrer, its artifact type, where it was found, and the digests of its layers: its
    content, which `portus-client blob` writes. If a referrer cannot be read, `?` and the reason stand for its layers,
    and the exit status is 6. For a multi-platform image without --platform, these are the referrers of the index.

    \b
    Examples:
      portus-client referrers team/app:1.0
      portus-client referrers team/app:1.0 --type application/spdx+json --output json
      portus-client referrers team/app:1.0 --format '{artifact_type} {layers[0].digest}'
    """
    with session.connect() as client, explaining_host(image):
        digest = image.digest
        if platform is not None or not digest:
            digest = client.resolve(image.repository, image.reference, platform=platform).digest
        found = list(client.referrers(image.repository, digest, artifact_type=artifact_type))
    match session.output_format:
        case OutputFormat.JSON:
            answer: dict[str, json_output.Json] = {
                "repository": image.repository,
                "subject": digest,
                "referrers": list(map(json_output.referrer, found)),
            }
            json_output.write_document(answer, rows="referrers")
        case OutputFormat.TERMINAL:
            _show(found, console())
            if not found:
                click.echo(f"nothing refers to {printable(f'{image.repository}@{digest}')}", err=True)
        case OutputFormat.TEXT:
            _write_lines(found)
    failed = sum(one.error is not None for one in found)
    if not failed:
        return ExitCode.OK
    print_error(f"{failed} of {len(found)} referrers could not be read")
    return ExitCode.PARTIAL


def _write_lines(found: list[Referrer]) -> None:
    for one in found:
        if one.error is not None:
            layers = f"? {failures.summary(one.error)}"
        else:
            layers = ",".join(layer.digest for layer in one.layers) or "-"
        kind = one.descriptor.artifact_type or "-"
        click.echo(printable("  ".join((one.descriptor.digest, kind, one.source.replace(" ", "-"), layers))))


def _show(found: list[Referrer], output: Console) -> None:
    if not found:
        return
    kinds = [printable(one.descriptor.artifact_type or "-") for one in found]
    widths = [("Digest", SHORT_DIGEST), ("Type", max(map(len, ("Type", *kinds)))), ("Found by", _SOURCE_WIDTH)]
    columns = Columns(widths, "Content", output)
    output.print(columns.header(), soft_wrap=True)
    for one, kind in zip(found, kinds, strict=True):
        if one.error is not None:
            content = Text(printable(f"? {failures.summary(one.error)}"), "red")
        else:
            content = Text(printable(", ".join(f"{layer.digest} ({size(layer.size)})" for layer in one.layers) or "-"))
        cells = [Text(printable(short_digest(one.descriptor.digest)), "dim"), Text(kind, "bold"), Text(one.source)]
        output.print(columns.row([*cells, content]), soft_wrap=True)
