"""`portus-client tags`."""

import click

from portus_client.cli import json_output, names, outcomes
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.names import note_host, parsed
from portus_client.cli.session import Session, Style, with_session
from portus_client.cli.terminal import printable
from portus_client.client import RegistryClient
from portus_client.errors import NotFound, RegistryError
from portus_client.image_name import ImageName


@click.command()
@click.argument("repository", callback=parsed(names.repository))
@click.option("--digests", is_flag=True, help="Say of each tag what it points to.")
@with_session
def tags(session: Session, repository: ImageName, digests: bool) -> ExitCode:
    """List the tags of a repository, one on each line.

    With --digests: each tag and the digest that it points to, on a terminal with size and content too. The exit
    status is 6 where what some tag points to could not be fetched; that tag has a `?` and the reason.

    \b
    Examples:
      portus-client tags team/app
      portus-client tags team/app --digests
      portus-client tags registry.example:5000/team/app --output json
    """
    with session.connect() as client:
        try:
            listing = client.tags(repository.repository)
            if digests:
                return _show_digests(session, client, repository.repository, list(listing))
            if session.style is Style.JSON:
                json_output.write_document({"repository": repository.repository, "tags": list(listing)})
            else:
                for tag in listing:
                    click.echo(printable(tag))
        except NotFound as error:
            note_host(error, repository)
            raise
    return ExitCode.OK


def _show_digests(session: Session, client: RegistryClient, repository: str, listed: list[str]) -> ExitCode:
    results = client.batch_manifests((repository, tag) for tag in listed)
    if session.style is not Style.JSON:
        return outcomes.end(outcomes.show(session.style, "Tag", listed, results), len(listed))
    answers: list[json_output.Json] = []
    failed = 0
    for result in outcomes.in_order(results):
        failed += isinstance(result.outcome, RegistryError)
        answers.append({"tag": listed[result.index], **json_output.pointer(result.outcome)})
    json_output.write_document({"repository": repository, "tags": answers})
    return outcomes.end(failed, len(listed))
