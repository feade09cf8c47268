"""`portus-client watch`."""

import click

from portus_client.cli import completion, json_output
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.session import OutputFormat, Session, with_session
from portus_client.cli.terminal import print_error, printable
from portus_client.watch import Event, WatchUpdate


@click.command(short_help="Show the changes in the registry as they happen.")
@click.option(
    "--prefix",
    default="",
    metavar="PREFIX",
    shell_complete=completion.prefixes,
    help="Show only repositories whose names begin with this.",
)
@click.option("--current", is_flag=True, help="First show all current repositories and tags.")
@click.option(
    "--since",
    default="",
    metavar="CURSOR",
    help="Continue after this cursor. Each JSON line has one, and each page of the catalog.",
)
@with_session
def watch(session: Session, prefix: str, current: bool, since: str) -> ExitCode:
    """Show what changes in the registry, as the gateway's index sees it, until Ctrl-C.

    With --output json, there is a line for each update of the gateway, with its events and a cursor. If the connection
    is lost, the watch continues by itself. If the gateway does not have the changes since then any more, a message says
    so, and the current state follows.

    \b
    Examples:
      portus-client watch
      portus-client watch --prefix team/ --current
      portus-client watch --format '{type} {repository}:{tag} {digest}'
      portus-client watch --output json --since "$cursor"
    """
    if current and since:
        raise click.UsageError("--current and --since contradict each other")
    with session.connect() as client:
        for update in client.watch(prefix=prefix, after_cursor=since, current_state=current):
            if session.output_format is OutputFormat.JSON:
                json_output.write_line(_document(update), rows="events")
                continue
            if update.list_again:
                print_error("changes were missed: the current state follows")
            for event in update.events:
                click.echo(_line(event))
    return ExitCode.OK


def _line(event: Event) -> str:
    name = f"{event.repository}:{event.tag}" if event.tag else event.repository
    details = [event.digest or event.previous_digest, event.actor]
    time = event.observed_time.isoformat(timespec="milliseconds")
    return "\t".join(map(printable, (time, event.type, name, *filter(None, details))))


def _document(update: WatchUpdate) -> json_output.Json:
    return {
        "events": [_event(event) for event in update.events],
        "cursor": update.cursor,
        "as_of": None if update.as_of is None else update.as_of.isoformat(),
        "current_state_complete": update.current_state_complete,
        "list_again": update.list_again,
    }


def _event(event: Event) -> json_output.Json:
    return {
        "type": event.type,
        "repository": event.repository,
        "tag": event.tag,
        "digest": event.digest,
        "previous_digest": event.previous_digest,
        "observed_time": event.observed_time.isoformat(),
        "notified_time": None if event.notified_time is None else event.notified_time.isoformat(),
        "actor": event.actor,
    }
