"""`portus-client tags`."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial

import click

from portus_client.cli import failures, json_output, manifest_lines, tag_table, unusable_tags
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.names import explaining_host, repository_argument
from portus_client.cli.progress_line import counted, progress_line
from portus_client.cli.session import OutputFormat, Session, with_session
from portus_client.cli.terminal import console, print_error, printable
from portus_client.client import RegistryClient
from portus_client.errors import RegistryError
from portus_client.image_name import ImageName
from portus_client.tag import TagDetails, TagPage, TagView

_WHAT = "tags"
_SHOWN_FAILURES = 10


@click.command()
@repository_argument
@click.option("--digests", is_flag=True, help="Show what each tag points to.")
@click.option("--details", is_flag=True, help="Show when each image was built, its size and its platforms.")
@click.option(
    "--sort",
    type=click.Choice(["name", "created"]),
    default="name",
    help="Order: by name, or the newest image first.  [default: name]",
)
@click.option("--points-at", metavar="DIGEST", default="", help="List only the tags that point to this digest.")
@click.option("--no-referrers", is_flag=True, help="Leave out the tags of signatures and other referrers (sha256-...).")
@with_session
def tags(
    session: Session,
    repository: ImageName,
    digests: bool,
    details: bool,
    sort: str,
    points_at: str,
    no_referrers: bool,
) -> ExitCode:
    """List the tags of a repository, one per line.

    With --details, each line has the tag, its digest, when the image was built, its size in bytes and its platforms;
    on a terminal, it is a table. The size is what a first pull transfers; for a multi-platform image, that of all
    platforms. With --digests, each line has the tag and its digest; on a terminal, size and content too. If a tag
    cannot be read, the line has `?` and the reason, and the exit status is 6.

    \b
    Examples:
      portus-client tags team/app
      portus-client tags team/app --details --sort created
      portus-client tags team/app --points-at "$(portus-client digest team/app:latest)"
      portus-client tags team/app --sort created --no-referrers | tail -n +11
      portus-client tags team/app --details --format '{tag:<20} {created:.10} {total_size:>12}'
      portus-client tags registry.example:5000/team/app --output json
    """
    if digests and (details or sort != "name"):
        raise click.UsageError("--digests lists names and digests by name: use --details instead")
    unusable: list[str] = []
    numbers: list[int] = []
    with session.connect() as client, explaining_host(repository):
        read = partial(client.tag_pages, repository.repository, digest=points_at, omit_referrer_tags=no_referrers)

        def pages(view: TagView = TagView.NAMES) -> Iterator[TagPage]:
            for page in read(view=view):
                numbers.append(len(page.tags))
                yield page

        if details or sort != "name":
            found = _read(session, pages(view=TagView.FULL), unusable)
            if sort == "created":
                found.sort(key=_newest_first)
            code = _show_details(session, repository.repository, found, unusable, names_only=not details)
        elif digests:
            listed = list(_listed(pages(), unusable))
            code = _show_digests(session, client, repository.repository, listed, unusable)
        elif session.output_format is OutputFormat.JSON:
            _write(repository.repository, list(_listed(pages(), unusable)), unusable)
            code = ExitCode.OK
        else:
            for tag in _listed(pages(), unusable):
                click.echo(printable(tag))
            code = ExitCode.OK
    if unusable:
        print_error(unusable_tags.line(unusable, len(unusable)))
    elif session.output_format is OutputFormat.TERMINAL and not sum(numbers):
        click.echo("no tags", err=True)
    return code


def _listed(pages: Iterator[TagPage], unusable: list[str]) -> Iterator[str]:
    """Yields the tags, and appends the names that are not valid tags to `unusable`."""
    for page in pages:
        unusable.extend(page.unusable_tags)
        yield from page.tags


def _read(session: Session, pages: Iterator[TagPage], unusable: list[str]) -> list[TagDetails]:
    """All details. A progress line counts them meanwhile."""

    def details() -> Iterator[TagDetails]:
        for page in pages:
            unusable.extend(page.unusable_tags)
            yield from page.details

    if session.output_format is not OutputFormat.TERMINAL:
        return list(counted(details(), _WHAT))
    found = []
    with progress_line(console(), _WHAT, None, auto_refresh=True) as progress:
        (task,) = progress.task_ids
        for one in details():
            found.append(one)
            progress.advance(task)
    return found


def _newest_first(details: TagDetails) -> tuple[bool, float, str]:
    """The order of the gateway's `created desc`: tags without a date come last."""
    created = details.created or datetime.fromtimestamp(0, UTC)
    return details.created is None, -(created - datetime.fromtimestamp(0, UTC)).total_seconds(), details.tag


def _show_details(
    session: Session, repository: str, found: Sequence[TagDetails], unusable: Sequence[str], *, names_only: bool
) -> ExitCode:
    if session.output_format is OutputFormat.JSON:
        described = [one.tag if names_only else json_output.tag_details(one) for one in found]
        _write(repository, described, unusable)
    elif names_only:
        for one in found:
            click.echo(printable(one.tag))
    elif session.output_format is OutputFormat.TERMINAL:
        if found:
            tag_table.show(found, console())
    else:
        tag_table.write_lines(found)
    failed = [(one.tag, one.error) for one in found if one.error is not None]
    if not failed:
        return ExitCode.OK
    if session.output_format is OutputFormat.TERMINAL or names_only:
        for tag, error in failed[:_SHOWN_FAILURES]:
            print_error(f"{tag}: {failures.summary(error)}")
    print_error(f"{len(failed)} of {len(found)} tags could not be read completely")
    return ExitCode.PARTIAL


def _write(repository: str, tags: Sequence[json_output.Json], unusable: Sequence[str]) -> None:
    answer: dict[str, json_output.Json] = {"repository": repository, "tags": tags}
    if unusable:
        answer["unusable_tags"] = list(unusable)
    json_output.write_document(answer, rows="tags", row="tag")


def _show_digests(
    session: Session, client: RegistryClient, repository: str, listed: list[str], unusable: list[str]
) -> ExitCode:
    results = client.batch_manifests((repository, tag) for tag in listed)
    if session.output_format is not OutputFormat.JSON:
        failed = manifest_lines.show(session.output_format, "Tag", listed, results)
        return manifest_lines.report(failed, len(listed))
    answers: list[json_output.Json] = []
    failed = 0
    for result in manifest_lines.in_order(results):
        failed += isinstance(result.outcome, RegistryError)
        answers.append({"tag": listed[result.index], **json_output.pointer(result.outcome)})
    _write(repository, answers, unusable)
    return manifest_lines.report(failed, len(listed))
