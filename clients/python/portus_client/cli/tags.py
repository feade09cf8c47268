"""`portus-client tags`."""

import click

from portus_client.cli import json_output, manifest_lines, names
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.names import explaining_host, parsed
from portus_client.cli.session import OutputFormat, Session, with_session
from portus_client.cli.terminal import printable
from portus_client.client import RegistryClient
from portus_client.errors import RegistryError
from portus_client.image_name import ImageName


@click.command()
@click.argument("repository", callback=parsed(names.repository))
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
    with session.connect() as client, explaining_host(repository):
        listing = client.tags(repository.repository)
        if digests:
            return _show_digests(session, client, repository.repository, list(listing))
        if session.output_format is OutputFormat.JSON:
            json_output.write_document({"repository": repository.repository, "tags": list(listing)})
        else:
            for tag in listing:
                click.echo(printable(tag))
    return ExitCode.OK


def _show_digests(session: Session, client: RegistryClient, repository: str, listed: list[str]) -> ExitCode:
    results = client.batch_manifests((repository, tag) for tag in listed)
    if session.output_format is not OutputFormat.JSON:
        failed = manifest_lines.show(session.output_format, "Tag", listed, results)
        return manifest_lines.report(failed, len(listed))
    answers: list[json_output.Json] = []
    failed = 0
    for result in manifest_lines.in_order(results):
        failed += isinstance(result.outcome, RegistryError)
        answers.append({"tag": listed[result.index], **json_output.pointer(result.outcome)})
    json_output.write_document({"repository": repository, "tags": answers})
    return manifest_lines.report(failed, len(listed))
