"""The question before a delete."""

import sys

import click

from portus_client.cli.terminal import print_error


def check_can_ask(*, yes: bool, dry_run: bool) -> None:
    """Raises `click.UsageError` if the command has to ask and there is no terminal for it."""
    if not (yes or dry_run or (sys.stdin.isatty() and sys.stderr.isatty())):
        raise click.UsageError("cannot ask for confirmation without a terminal: give --yes or --dry-run")


def confirmed(plan: str) -> bool:
    """Shows the plan, which is a sentence, and asks whether to carry it out."""
    click.echo(plan, err=True)
    try:
        # click.confirm does not tell Ctrl-C from the end of the input.
        click.echo("Delete? [y/N]: ", nl=False, err=True)
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        click.echo(err=True)
        print_error("nothing was deleted")
        raise
    if answer.strip().lower() in ("y", "yes"):
        return True
    if not answer.endswith("\n"):
        click.echo(err=True)
    print_error("nothing was deleted")
    return False
