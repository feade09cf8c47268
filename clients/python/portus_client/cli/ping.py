"""`portus-client ping`."""

import click

from portus_client.cli import failures, json_output
from portus_client.cli.exit_codes import ExitCode, exit_code
from portus_client.cli.session import OutputFormat, Session, with_session
from portus_client.cli.terminal import printable
from portus_client.registry_info import RegistryInfo

# The registry can be used, but has not asked for the gateway's account.
_MAY_HIDE_REPOSITORIES = "ACCOUNT_NOT_ASKED_FOR"


@click.command()
@with_session
def ping(session: Session) -> ExitCode:
    """Check whether the gateway can use its registry.

    The exit status is 0 only if it can. It is 5 if the gateway or the registry does not answer, and 1 if the registry
    rejects the gateway's account.

    \b
    Examples:
      portus-client ping
      until portus-client ping --timeout 5; do sleep 1; done
    """
    with session.connect() as client:
        info = client.info()
    if session.output_format is OutputFormat.JSON:
        json_output.write_document(json_output.registry_info(info))
    else:
        click.echo(printable(_line(info)))
    if info.problem is not None and info.problem.reason != _MAY_HIDE_REPOSITORIES:
        return exit_code(info.problem)
    return ExitCode.OK if info.reachable else ExitCode.UNAVAILABLE


def _line(info: RegistryInfo) -> str:
    if info.problem is not None and info.problem.reason == _MAY_HIDE_REPOSITORIES:
        state = f"registry reachable, but it may hide private repositories: {failures.summary(info.problem)}"
    elif info.problem is not None:
        state = f"registry {'reachable, but not usable' if info.reachable else 'not reachable'}"
        state += f": {failures.summary(info.problem)}"
    elif info.reachable:
        state = f"registry reachable ({info.api_version or 'API version not stated'})"
    else:
        state = "registry not reachable"
    deletion = "enabled" if info.deletion_enabled else "disabled"
    return f"{state}; gateway {info.gateway_version}; deletion {deletion}{_index(info)}"


def _index(info: RegistryInfo) -> str:
    if info.index is None:
        return ""
    as_of = "" if info.index.as_of is None else f", as of {info.index.as_of.isoformat(timespec='seconds')}"
    return f"; index {info.index.state}{as_of}"
