"""`portus-client delete`."""

import sys
from collections.abc import Sequence

import click

from portus_client.cli import completion, delete_many, json_output
from portus_client.cli.confirmation import check_can_ask, confirmed
from portus_client.cli.deletion_text import description, outcome_unknown
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.names import explaining_host, image_argument, parsed
from portus_client.cli.session import OutputFormat, Session, with_session
from portus_client.cli.terminal import print_error
from portus_client.client import RegistryClient
from portus_client.deletion import DeletedBlob, DeletedManifest, ManifestDeletion
from portus_client.errors import Referenced, RegistryError, Tagged
from portus_client.image_name import ImageName, checked_tag

# The gateway's limit. Above it, only `force` can delete.
_MAX_EXPECTED_TAGS = 1000


@click.command()
@image_argument
@click.argument("digests", metavar="DIGEST...", nargs=-1, callback=parsed(delete_many.read))
@click.argument("kind", type=click.Choice(["manifests", "blobs"]))
@click.option(
    "--expect",
    "expected",
    metavar="TAG",
    callback=parsed(checked_tag),
    shell_complete=completion.tags,
    multiple=True,
    help="A tag that may be deleted too. Can be given several times.",
)
@click.option("--force", is_flag=True, help="Delete even if other tags point to the digest. They are deleted too.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--dry-run", is_flag=True, help="Make all checks and show what would be deleted, but delete nothing.")
@with_session
def delete(
    session: Session,
    image: ImageName,
    digests: Sequence[Sequence[ManifestDeletion]],
    kind: str,
    expected: Sequence[str],
    force: bool,
    yes: bool,
    dry_run: bool,
) -> ExitCode:
    """Delete manifests or a blob by their digests.

    Deleting a manifest deletes every tag that points to it. The delete is refused (status 4) if there are such tags
    other than the tag in IMAGE (NAME:TAG) and those given with --expect, unless --force is given. The command shows
    what it will delete, asks for confirmation unless --yes is given, and then deletes nothing else. The delete is also
    refused if a tagged index contains the manifest, unless --force is given. The exit status is 6 if tags remain.

    With several digests, the tags are checked once for all of them, an index is deleted before the manifests in it, and
    the command asks once. `-` reads digests from standard input, one per line, each followed by the tags that may be
    deleted with it. The exit status is 6 if not all of them were deleted.

    \b
    Examples:
      portus-client delete team/app:1.0 sha256:... manifests
      portus-client delete team/app sha256:... manifests --expect 1.0 --expect latest --yes
      portus-client delete team/app sha256:... blobs --dry-run
      portus-client delete team/app sha256:... sha256:... manifests --expect 1.0 --expect 1.1
      echo 'sha256:... 1.0 1.1' | portus-client delete team/app - manifests --yes
    """
    if not digests:
        raise click.UsageError(f"no digest: give what to delete between the image's name and {kind}")
    if image.digest:
        raise click.UsageError("write the digest after the image's name, not in it: delete NAME DIGEST manifests")
    if image.is_ambiguous:
        raise click.UsageError(
            f"{image.host} can be a registry host or a part of the repository's name: write {image.repository} or"
            f" /{image.host}/{image.repository}"
        )
    if kind == "blobs" and (force or expected):
        raise click.UsageError("--expect and --force are only for manifests: no tag points to a blob")
    check_can_ask(yes=yes, dry_run=dry_run)
    wanted = [deletion for group in digests for deletion in group]
    if len(wanted) != 1 or wanted[0].expected_tags:
        if kind == "blobs":
            raise click.UsageError("blobs are deleted one at a time: give one digest")
        several = delete_many.Several(image.repository, wanted, {*expected, *filter(None, (image.tag,))}, force=force)
        with session.connect() as client, explaining_host(image):
            return delete_many.run(session, client, several, yes=yes, dry_run=dry_run)
    with session.connect() as client, explaining_host(image):
        deletion = _Deletion(client, image, wanted[0].digest, kind, expected, force)
        planned = deletion.check()
        if dry_run:
            _report(session, planned, image, dry_run=True)
            return ExitCode.OK
        if not yes and not confirmed(f"This deletes {description(planned, image.repository)}."):
            return ExitCode.FAILED
        deleted = deletion.carry_out(planned)
    try:
        _report(session, deleted, image, dry_run=False)
    except OSError:
        # The script must not take the failed output for a failed delete.
        print_error(f"deleted {description(deleted, image.repository)}")
        raise
    if isinstance(deleted, DeletedManifest) and deleted.remaining_tags:
        print_error(f"these tags pointed to it and still exist: {', '.join(deleted.remaining_tags)}")
        return ExitCode.PARTIAL
    return ExitCode.OK


class _Deletion:
    """One delete: first checked, then carried out."""

    def __init__(
        self, client: RegistryClient, image: ImageName, digest: str, kind: str, expected: Sequence[str], force: bool
    ) -> None:
        self._client = client
        self._repository = image.repository
        self._digest = digest
        self._is_manifest = kind == "manifests"
        self._expected = {*expected, *filter(None, (image.tag,))}
        self._force = force

    def check(self) -> DeletedManifest | DeletedBlob:
        """What would be deleted. Raises the errors that the delete would raise."""
        return self._delete(self._expected, force=self._force, validate_only=True)

    def carry_out(self, planned: DeletedManifest | DeletedBlob) -> DeletedManifest | DeletedBlob:
        """Deletes what was planned. Raises `Tagged` if a new tag points to the manifest since the check."""
        tags = set(planned.deleted_tags) if isinstance(planned, DeletedManifest) else set()
        expected = self._expected | tags
        try:
            if len(expected) > _MAX_EXPECTED_TAGS:
                return self._delete(self._expected, force=self._force, validate_only=False)
            return self._delete(expected, force=False, validate_only=False)
        except Tagged as error:
            error.add_note("they were set after the check")
            raise
        except Referenced:
            if not self._force:
                raise
            # Only the tags that were shown point to it. --force also allows that an index becomes incomplete.
            return self._delete(expected, force=True, validate_only=False)
        except RegistryError as error:
            if outcome_unknown(error):
                error.add_note(f"it is not known whether {self._digest} was deleted: check before the next try")
            raise

    def _delete(self, expected: set[str], *, force: bool, validate_only: bool) -> DeletedManifest | DeletedBlob:
        if not self._is_manifest:
            return self._client.delete_blob(self._repository, self._digest, validate_only=validate_only)
        return self._client.delete_manifest(
            self._repository,
            self._digest,
            expected_tags=sorted(expected),
            force=force,
            validate_only=validate_only,
        )


def _report(session: Session, deleted: DeletedManifest | DeletedBlob, image: ImageName, *, dry_run: bool) -> None:
    if session.output_format is OutputFormat.JSON:
        json_output.write_document(json_output.deleted(deleted, dry_run=dry_run))
    else:
        click.echo(f"{'would delete' if dry_run else 'deleted'} {description(deleted, image.repository)}")
    sys.stdout.flush()
