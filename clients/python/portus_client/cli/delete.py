"""`portus-client delete`."""

import sys
from collections.abc import Sequence

import click

from portus_client.cli import failures, json_output
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.names import note_host, parsed
from portus_client.cli.session import Session, Style, with_session
from portus_client.cli.terminal import complain, printable
from portus_client.client import RegistryClient
from portus_client.deletion import DeletedBlob, DeletedManifest
from portus_client.errors import (
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    NotFound,
    RegistryError,
    Tagged,
    Unavailable,
)
from portus_client.image_name import ImageName, checked_digest, checked_tag

# The gateway takes no more; then only force is left.
_MOST_EXPECTED_TAGS = 1000


@click.command()
@click.argument("image", callback=parsed(ImageName.parse))
@click.argument("digest", callback=parsed(checked_digest))
@click.argument("kind", type=click.Choice(["manifests", "blobs"]))
@click.option(
    "--expect",
    "expected",
    metavar="TAG",
    callback=parsed(checked_tag),
    multiple=True,
    help="A tag that may go too. Can be given several times.",
)
@click.option("--force", is_flag=True, help="Delete although other tags point there. They go too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Make every check, say what would go, and delete nothing.")
@with_session
def delete(
    session: Session,
    image: ImageName,
    digest: str,
    kind: str,
    expected: Sequence[str],
    force: bool,
    yes: bool,
    dry_run: bool,
) -> ExitCode:
    """Delete a manifest, or a blob, by its digest.

    Every tag that points to a manifest goes with it. So this is refused (status 4) while any does but the tag in
    IMAGE, as in NAME:TAG, and those of --expect, unless --force is given. It says what will go, asks unless --yes is
    given, and then deletes no more than it said.

    \b
    Examples:
      portus-client delete team/app:1.0 sha256:... manifests
      portus-client delete team/app sha256:... manifests --expect 1.0 --expect latest --yes
      portus-client delete team/app sha256:... blobs --dry-run
    """
    if image.digest:
        raise click.UsageError("the digest stands behind the image's name, not in it: delete NAME DIGEST manifests")
    if image.is_ambiguous:
        raise click.UsageError(
            f"{image.host} may be the registry's host or a part of the repository's name: delete {image.repository},"
            f" or /{image.host}/{image.repository}, whichever is meant"
        )
    if kind == "blobs" and (force or expected):
        raise click.UsageError("no tag points to a blob: --expect and --force are for manifests")
    if not (yes or dry_run or _can_ask()):
        raise click.UsageError("there is no terminal to ask on: give --yes, or --dry-run to see what would go")
    with session.connect() as client:
        try:
            deletion = _Deletion(client, image, digest, kind, expected, force)
            planned = deletion.check()
            if dry_run:
                _report(session, planned, image, dry_run=True)
                return ExitCode.OK
            if not yes and not _confirmed(planned, image):
                complain("nothing was deleted")
                return ExitCode.FAILED
            _report(session, deletion.carry_out(planned), image, dry_run=False)
        except NotFound as error:
            note_host(error, image)
            raise
    return ExitCode.OK


class _Deletion:
    """One delete: first only checked, then carried out."""

    def __init__(
        self, client: RegistryClient, image: ImageName, digest: str, kind: str, expected: Sequence[str], force: bool
    ) -> None:
        self._client = client
        self._repository = image.repository
        self._digest = digest
        self._of_manifest = kind == "manifests"
        self._expected = {*expected, *filter(None, (image.tag,))}
        self._force = force

    def check(self) -> DeletedManifest | DeletedBlob:
        """What would go. Raises what the delete would raise."""
        return self._delete(self._expected, force=self._force, validate_only=True)

    def carry_out(self, planned: DeletedManifest | DeletedBlob) -> DeletedManifest | DeletedBlob:
        """Deletes what was planned: a tag that came to point there meanwhile stops it."""
        tags = set(planned.deleted_tags) if isinstance(planned, DeletedManifest) else set()
        expected = self._expected | tags
        try:
            if len(expected) > _MOST_EXPECTED_TAGS:
                return self._delete(self._expected, force=self._force, validate_only=False)
            return self._delete(expected, force=False, validate_only=False)
        except Tagged as error:
            error.add_note("they were put there after this looked")
            raise
        except FailedPrecondition as error:
            if error.reason != "REFERENCED" or not self._force:
                raise
            # No other tag points to it now, and --force allows that an index becomes incomplete.
            return self._delete(expected, force=True, validate_only=False)
        except RegistryError as error:
            if _unclear(error):
                error.add_note(f"whether {self._digest} was deleted is not known: look before the next try")
            raise

    def _delete(self, expected: set[str], *, force: bool, validate_only: bool) -> DeletedManifest | DeletedBlob:
        if not self._of_manifest:
            return self._client.delete_blob(self._repository, self._digest, validate_only=validate_only)
        return self._client.delete_manifest(
            self._repository,
            self._digest,
            expected_tags=sorted(expected),
            force=force,
            validate_only=validate_only,
        )


def _unclear(error: RegistryError) -> bool:
    lost = isinstance(error, Unavailable | DeadlineExceeded | Cancelled | Internal)
    return lost and not failures.never_sent(error)


def _can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _confirmed(planned: DeletedManifest | DeletedBlob, image: ImageName) -> bool:
    click.echo(f"This deletes {_described(planned, image)}.", err=True)
    try:
        return click.confirm("Delete?", err=True)
    except click.Abort:
        click.echo(err=True)
        return False


def _report(session: Session, deleted: DeletedManifest | DeletedBlob, image: ImageName, *, dry_run: bool) -> None:
    if session.style is Style.JSON:
        json_output.write_document(json_output.deleted(deleted, dry_run=dry_run))
    else:
        click.echo(f"{'would delete' if dry_run else 'deleted'} {_described(deleted, image)}")


def _described(deleted: DeletedManifest | DeletedBlob, image: ImageName) -> str:
    what = f"{image.repository}@{deleted.digest}"
    match deleted:
        case DeletedBlob():
            text = f"the blob {what}"
        case DeletedManifest(deleted_tags=()):
            text = f"{what}, which has no tag"
        case DeletedManifest(deleted_tags=(tag,)):
            text = f"{what}, and with it the tag {tag}"
        case DeletedManifest(deleted_tags=tags):
            text = f"{what}, and with it the {len(tags)} tags {', '.join(tags)}"
    return printable(text)
