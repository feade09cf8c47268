"""`portus-gateway policy`."""

import os
from pathlib import Path

import click

from portus_gateway.access.caller import NOBODY, Caller
from portus_gateway.access.errors import InvalidAccessFile
from portus_gateway.access.policy import Decision, Policy
from portus_gateway.access.policy_file import PolicyFile
from portus_gateway.access.rpcs import RPCS
from portus_gateway.cli.serve import EXIT_CONFIGURATION, report
from portus_gateway.distribution.names import Repository


@click.group()
def policy() -> None:
    """Check what a policy file allows."""


@policy.command(short_help="Say whether a file is valid, or whether a call is allowed, and by which rule.")
@click.option("--file", type=click.Path(path_type=Path), help="Policy file.  [default: PORTUS_POLICY_FILE]")
@click.option(
    "--caller",
    "principals",
    multiple=True,
    metavar="PRINCIPAL",
    help="Principal of the caller: token:<name>, spiffe://…, dns:…, cn:…, jwt:<issuer>#<subject>,"
    " claim:<issuer>#<claim>=<value> or anonymous. Repeat it for a caller with several principals.",
)
@click.option("--rpc", type=click.Choice(sorted(RPCS)), metavar="RPC", help="Name of the RPC, such as GetManifest.")
@click.option("--repository", help="Repository, such as team/app. Not needed for GetRegistryInfo.")
def check(file: Path | None, principals: tuple[str, ...], rpc: str | None, repository: str | None) -> None:
    """Say whether a call is allowed, and by which rule. Without --caller and --rpc, say whether the file is valid.

    Exit status 0: allowed, or valid. 1: denied. 78: the file is invalid.
    """
    path = file or os.environ.get("PORTUS_POLICY_FILE")
    if not path:
        raise click.UsageError("no policy file: give --file or set PORTUS_POLICY_FILE")
    try:
        rules = PolicyFile(Path(path)).policy
    except InvalidAccessFile as error:
        report(error)
        raise SystemExit(EXIT_CONFIGURATION) from None
    if rpc is None and not principals and repository is None:
        count = len(rules.rules)
        click.echo(f"{path} is valid: {count} {'rule' if count == 1 else 'rules'}")
        return
    decision = _decision(rules, principals, rpc, repository)
    click.echo(str(decision))
    if not decision.allowed:
        raise SystemExit(1)


def _decision(rules: Policy, principals: tuple[str, ...], rpc: str | None, repository: str | None) -> Decision:
    if rpc is None or not principals:
        raise click.UsageError("to check a call, give both --caller and --rpc")
    if repository is None and RPCS[rpc].in_repository:
        raise click.UsageError(f"{rpc} concerns a repository: give --repository")
    try:
        caller = NOBODY if principals == ("anonymous",) else Caller.known_as("token", principals)
        if repository is not None:
            Repository(repository)
        return rules.decide(caller, RPCS[rpc], repository)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
