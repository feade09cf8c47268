"""`portus-gateway policy`."""

import os
from pathlib import Path

import click

from portus_gateway.access.caller import NOBODY, Caller
from portus_gateway.access.errors import InvalidAccessFile
from portus_gateway.access.policy_file import PolicyFile
from portus_gateway.access.rpcs import ALL, REGISTRY_RPCS
from portus_gateway.cli.serve import EXIT_CONFIGURATION, report


@click.group()
def policy() -> None:
    """Asks a policy file what it means."""


@policy.command(short_help="Say whether a call would be allowed, and by which rule.")
@click.option("--file", type=click.Path(path_type=Path), help="The policy.  [PORTUS_POLICY_FILE]")
@click.option(
    "--caller",
    "principals",
    required=True,
    multiple=True,
    metavar="PRINCIPAL",
    help="Who calls: token:scanner, spiffe://…, dns:…, cn:…, jwt:<issuer>#<subject>, or anonymous. Repeatable, for one"
    " caller that has several names.",
)
@click.option("--rpc", required=True, type=click.Choice(sorted(ALL)), metavar="RPC", help="Such as GetManifest.")
@click.option("--repository", help="Such as team/app. GetRegistryInfo has none.")
def check(file: Path | None, principals: tuple[str, ...], rpc: str, repository: str | None) -> None:
    """Says whether a call would be allowed, and by which rule: exit status 0 if so, 1 if not."""
    path = file or os.environ.get("PORTUS_POLICY_FILE")
    if not path:
        raise click.UsageError("which policy? Give --file, or set PORTUS_POLICY_FILE")
    if repository is None and rpc not in REGISTRY_RPCS:
        raise click.UsageError(f"{rpc} is about a repository: give --repository")
    try:
        caller = NOBODY if principals == ("anonymous",) else Caller.known_as("token", principals)
        decision = PolicyFile(Path(path)).policy.decide(caller, rpc, repository)
    except InvalidAccessFile as error:
        report(error)
        raise SystemExit(EXIT_CONFIGURATION) from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    click.echo(str(decision))
    if not decision.allowed:
        raise SystemExit(1)
