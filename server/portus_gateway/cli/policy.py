"""`portus-gateway policy`."""

import os
from pathlib import Path

import click

from portus_gateway.access.caller import NOBODY, Caller
from portus_gateway.access.errors import InvalidAccessFile
from portus_gateway.access.policy_file import PolicyFile
from portus_gateway.access.rpcs import RPCS
from portus_gateway.cli.serve import EXIT_CONFIGURATION, report
from portus_gateway.distribution.names import Repository


@click.group()
def policy() -> None:
    """Check what a policy file allows."""


@policy.command(short_help="Say whether a call is allowed, and by which rule.")
@click.option("--file", type=click.Path(path_type=Path), help="Policy file.  [default: PORTUS_POLICY_FILE]")
@click.option(
    "--caller",
    "principals",
    required=True,
    multiple=True,
    metavar="PRINCIPAL",
    help="Principal of the caller: token:<name>, spiffe://…, dns:…, cn:…, jwt:<issuer>#<subject>,"
    " claim:<issuer>#<claim>=<value> or anonymous. Repeat it for a caller with several principals.",
)
@click.option(
    "--rpc", required=True, type=click.Choice(sorted(RPCS)), metavar="RPC", help="Name of the RPC, such as GetManifest."
)
@click.option("--repository", help="Repository, such as team/app. Not needed for GetRegistryInfo.")
def check(file: Path | None, principals: tuple[str, ...], rpc: str, repository: str | None) -> None:
    """Say whether a call is allowed, and by which rule. Exit status 0: allowed. 1: denied. 78: the file is invalid."""
    path = file or os.environ.get("PORTUS_POLICY_FILE")
    if not path:
        raise click.UsageError("no policy file: give --file or set PORTUS_POLICY_FILE")
    if repository is None and RPCS[rpc].in_repository:
        raise click.UsageError(f"{rpc} concerns a repository: give --repository")
    try:
        caller = NOBODY if principals == ("anonymous",) else Caller.known_as("token", principals)
        if repository is not None:
            Repository(repository)
        decision = PolicyFile(Path(path)).policy.decide(caller, RPCS[rpc], repository)
    except InvalidAccessFile as error:
        report(error)
        raise SystemExit(EXIT_CONFIGURATION) from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    click.echo(str(decision))
    if not decision.allowed:
        raise SystemExit(1)
