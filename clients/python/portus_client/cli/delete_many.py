"""Deletes of several manifests in one run of `portus-client delete`."""

import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import click

from portus_client.cli import failures, json_output
from portus_client.cli.confirmation import confirmed
from portus_client.cli.deletion_text import description, outcome_unknown
from portus_client.cli.exit_codes import ExitCode, exit_code
from portus_client.cli.progress_line import counted
from portus_client.cli.session import OutputFormat, Session
from portus_client.cli.terminal import print_error, printable
from portus_client.client import RegistryClient
from portus_client.deletion import DeletedManifest, DeletionResult, ManifestDeletion
from portus_client.errors import Referenced, RegistryError
from portus_client.image_name import checked_digest, checked_tag

_STANDARD_INPUT = "-"
# The gateway's limit for one call, which is judged as a whole.
_MOST = 1000
_MOST_SHOWN_TAGS = 20


def read(text: str) -> list[ManifestDeletion]:
    """A digest or, for `-`, all deletes on standard input. Raises `ValueError`."""
    if text != _STANDARD_INPUT:
        return [ManifestDeletion(checked_digest(text))]
    deletions = []
    for number, line in enumerate(sys.stdin.buffer, 1):
        # Bytes that are not UTF-8 are shown escaped in the error message.
        words = line.decode(errors="backslashreplace").split()
        if words:
            try:
                tags = tuple(checked_tag(word) for word in words[1:])
                deletions.append(ManifestDeletion(checked_digest(words[0]), tags))
            except ValueError as error:
                raise ValueError(f"standard input, line {number}: {error}") from error
    return deletions


class Several:
    """The deletes of one run, each digest once."""

    def __init__(
        self, repository: str, wanted: Sequence[ManifestDeletion], expected: Collection[str], *, force: bool
    ) -> None:
        tags: dict[str, set[str]] = {}
        for deletion in wanted:
            tags.setdefault(deletion.digest, set(expected)).update(deletion.expected_tags)
        if not 1 <= len(tags) <= _MOST:
            raise click.UsageError(f"{len(tags)} digests were given: give 1 to {_MOST}")
        self.repository = repository
        self.force = force
        self.deletions = [ManifestDeletion(digest, sorted(names), force) for digest, names in tags.items()]


def run(session: Session, client: RegistryClient, several: Several, *, yes: bool, dry_run: bool) -> ExitCode:
    """Checks all, asks once, deletes what was shown, and reports each result as it comes."""
    repository, total = several.repository, len(several.deletions)
    checks = list(counted(client.batch_delete(repository, several.deletions, validate_only=True), "checks", total))
    checks.sort(key=lambda result: result.index)
    if dry_run:
        return _reported(session, repository, iter(checks), dry_run=True)
    refused = [result for result in checks if isinstance(result.outcome, RegistryError)]
    for result in refused:
        _show(session, repository, result, dry_run=False)
    planned = {
        result.deletion.digest: result.outcome for result in checks if isinstance(result.outcome, DeletedManifest)
    }
    if not planned:
        return _status(checks)
    if not yes and not confirmed(_summary(repository, list(planned.values()), len(refused))):
        return ExitCode.FAILED
    results = counted(_carried_out(client, several, planned), "manifests", len(planned))
    status = _reported(session, repository, results, dry_run=False)
    return ExitCode.PARTIAL if refused and status is ExitCode.OK else status


def _carried_out(
    client: RegistryClient, several: Several, planned: dict[str, DeletedManifest]
) -> Iterator[DeletionResult]:
    """Deletes what was planned, and no manifest to which a new tag points since the check."""
    wanted = [
        replace(
            deletion,
            expected_tags=sorted({*deletion.expected_tags, *planned[deletion.digest].deleted_tags}),
            force=False,
        )
        for deletion in several.deletions
        if deletion.digest in planned
    ]
    incomplete: list[ManifestDeletion] = []
    try:
        for result in client.batch_delete(several.repository, wanted):
            if several.force and isinstance(result.outcome, Referenced):
                incomplete.append(replace(result.deletion, force=True))
            else:
                yield result
        # Only the tags that were shown point to them. --force also allows that an index becomes incomplete.
        yield from client.batch_delete(several.repository, incomplete)
    except RegistryError as error:
        if outcome_unknown(error):
            error.add_note("some of them may have been deleted: check before the next try")
        raise


def _reported(session: Session, repository: str, results: Iterator[DeletionResult], *, dry_run: bool) -> ExitCode:
    shown = []
    for result in results:
        _show(session, repository, result, dry_run=dry_run)
        shown.append(result)
    return _status(shown)


def _status(results: Sequence[DeletionResult]) -> ExitCode:
    failed = [result.outcome for result in results if isinstance(result.outcome, RegistryError)]
    if len(failed) == len(results) and failed:
        return exit_code(failed[0])
    remaining = any(isinstance(result.outcome, DeletedManifest) and result.outcome.remaining_tags for result in results)
    return ExitCode.PARTIAL if failed or remaining else ExitCode.OK


def _show(session: Session, repository: str, result: DeletionResult, *, dry_run: bool) -> None:
    outcome = result.outcome
    if session.output_format is OutputFormat.JSON:
        json_output.write_line(json_output.deletion_result(result, dry_run=dry_run))
    elif isinstance(outcome, DeletedManifest):
        click.echo(f"{'would delete' if dry_run else 'deleted'} {description(outcome, repository)}")
    sys.stdout.flush()
    if isinstance(outcome, RegistryError):
        # Every outcome has a reason, so the text does not need the address.
        print_error(f"{result.deletion.digest}: {failures.line(outcome, '', None)}")
    elif outcome.remaining_tags:
        print_error(f"{result.deletion.digest}: these tags still exist: {', '.join(outcome.remaining_tags)}")


def _summary(repository: str, planned: Sequence[DeletedManifest], refused: int) -> str:
    tags = sorted(tag for deleted in planned for tag in deleted.deleted_tags)
    shown = ", ".join(tags[:_MOST_SHOWN_TAGS])
    more = f" and {len(tags) - _MOST_SHOWN_TAGS} more" if len(tags) > _MOST_SHOWN_TAGS else ""
    with_tags = f" and {_count(len(tags), 'tag')}: {shown}{more}" if tags else " and no tags"
    kept = f" {_count(refused, 'other manifest')} cannot be deleted." if refused else ""
    return printable(f"This deletes {_count(len(planned), 'manifest')} of {repository}{with_tags}.{kept}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
