"""`portus-client tag`."""

import sys

import click

from portus_client.cli import json_output
from portus_client.cli.confirmation import check_can_ask, confirmed
from portus_client.cli.deletion_text import outcome_unknown
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.names import explaining_host, image_argument
from portus_client.cli.session import OutputFormat, Session, with_session
from portus_client.cli.terminal import print_error, printable
from portus_client.client import RegistryClient
from portus_client.descriptor import Descriptor
from portus_client.errors import RegistryError
from portus_client.image_name import ImageName


@click.group(no_args_is_help=False)
def tag() -> None:
    """Work with a single tag."""


@tag.command("rm")
@image_argument
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--dry-run", is_flag=True, help="Make all checks and show what would be deleted, but delete nothing.")
@with_session
def remove(session: Session, image: ImageName, yes: bool, dry_run: bool) -> ExitCode:
    """Delete a tag and keep its manifest.

    The command shows what the tag points to, asks for confirmation unless --yes is given, and deletes the tag only if
    it still points there. With NAME:TAG@DIGEST, it has to point to that digest from the beginning. Distribution 2
    cannot delete a single tag: the gateway then refuses (status 4), unless its operator allows to emulate it.

    \b
    Examples:
      portus-client tag rm team/app:1.0
      portus-client tag rm team/app:1.0@sha256:... --yes
    """
    if not image.tag:
        raise click.UsageError(f"{image.repository} has no tag: write NAME:TAG")
    if image.is_ambiguous:
        raise click.UsageError(
            f"{image.host} can be a registry host or a part of the repository's name: write {image.repository} or"
            f" /{image.host}/{image.repository}"
        )
    check_can_ask(yes=yes, dry_run=dry_run)
    name = printable(f"{image.repository}:{image.tag}")
    with session.connect() as client, explaining_host(image):
        target = client.resolve(image.repository, image.tag)
        expected = image.digest or target.digest
        _delete(client, image, expected, validate_only=True)
        if not dry_run:
            plan = f"This deletes the tag {name}, which points to {_shown(target)}. The manifest stays."
            if not yes and not confirmed(plan):
                return ExitCode.FAILED
            _delete(client, image, expected, validate_only=False)
    try:
        _report(session, image, expected, dry_run=dry_run)
    except OSError:
        # The script must not take the failed output for a failed delete.
        if not dry_run:
            print_error(f"deleted the tag {name}")
        raise
    return ExitCode.OK


def _delete(client: RegistryClient, image: ImageName, expected: str, *, validate_only: bool) -> None:
    try:
        client.delete_tag(image.repository, image.tag, expected_digest=expected, validate_only=validate_only)
    except RegistryError as error:
        if not validate_only and outcome_unknown(error):
            error.add_note(f"it is not known whether {image.tag} was deleted: check before the next try")
        raise


def _report(session: Session, image: ImageName, digest: str, *, dry_run: bool) -> None:
    if session.output_format is OutputFormat.JSON:
        json_output.write_document(
            {"repository": image.repository, "tag": image.tag, "digest": digest, "dry_run": dry_run}
        )
    else:
        did = "would delete" if dry_run else "deleted"
        click.echo(printable(f"{did} the tag {image.repository}:{image.tag}, which pointed to {digest}"))
    sys.stdout.flush()


def _shown(target: Descriptor) -> str:
    return printable(f"{target.digest} ({target.media_type})")
