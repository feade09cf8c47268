"""`portus-client tags`."""

import click

from portus_client.cli import json_output, names
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.names import note_host, parsed
from portus_client.cli.session import Session, Style, with_session
from portus_client.cli.terminal import printable
from portus_client.errors import NotFound
from portus_client.image_name import ImageName


@click.command()
@click.argument("repository", callback=parsed(names.repository))
@with_session
def tags(session: Session, repository: ImageName) -> ExitCode:
    """List the tags of a repository, one on each line.

    \b
    Examples:
      portus-client tags team/app
      portus-client tags registry.example:5000/team/app --output json
    """
    with session.connect() as client:
        try:
            listing = client.tags(repository.repository)
            if session.style is Style.JSON:
                json_output.write_document({"repository": repository.repository, "tags": list(listing)})
            else:
                for tag in listing:
                    click.echo(printable(tag))
        except NotFound as error:
            note_host(error, repository)
            raise
    return ExitCode.OK
