"""`portus-client tags`."""

from collections.abc import Iterator, Sequence

import click

from portus_client.cli import json_output, manifest_lines, unusable_tags
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.names import explaining_host, repository_argument
from portus_client.cli.session import OutputFormat, Session, with_session
from portus_client.cli.terminal import print_error, printable
from portus_client.client import RegistryClient
from portus_client.errors import RegistryError
from portus_client.image_name import ImageName


@click.command()
@repository_argument
@click.option("--digests", is_flag=True, help="Show what each tag points to.")
@with_session
def tags(session: Session, repository: ImageName, digests: bool) -> ExitCode:
    """List the tags of a repository, one per line.

    With --digests, each line has the tag and its digest; on a terminal, size and content too. If the manifest of a tag
    cannot be fetched, the line has `?` and the reason, and the exit status is 6.

    \b
    Examples:
      portus-client tags team/app
      portus-client tags team/app --digests
      portus-client tags registry.example:5000/team/app --output json
    """
    unusable: list[str] = []
    with session.connect() as client, explaining_host(repository):
        listing = _listed(client, repository.repository, unusable)
        if digests:
            code = _show_digests(session, client, repository.repository, list(listing), unusable)
        elif session.output_format is OutputFormat.JSON:
            json_output.write_document(_document(repository.repository, list(listing), unusable))
            code = ExitCode.OK
        else:
            for tag in listing:
                click.echo(printable(tag))
            code = ExitCode.OK
    if unusable:
        print_error(unusable_tags.line(unusable, len(unusable)))
    return code


def _listed(client: RegistryClient, repository: str, unusable: list[str]) -> Iterator[str]:
    """Yields the tags, and appends the names that are not valid tags to `unusable`."""
    for page in client.tag_pages(repository):
        unusable.extend(page.unusable_tags)
        yield from page.tags


def _document(repository: str, tags: Sequence[json_output.Json], unusable: Sequence[str]) -> json_output.Json:
    answer: dict[str, json_output.Json] = {"repository": repository, "tags": tags}
    if unusable:
        answer["unusable_tags"] = list(unusable)
    return answer


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
    json_output.write_document(_document(repository, answers, unusable))
    return manifest_lines.report(failed, len(listed))
