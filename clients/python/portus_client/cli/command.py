"""The program `portus-client`: its shared options and its commands."""

import sys
from collections.abc import Sequence
from io import TextIOWrapper

import click

from portus_client.cli import bash_completion
from portus_client.cli.batch import batch
from portus_client.cli.blob import blob
from portus_client.cli.catalog import catalog
from portus_client.cli.config import config
from portus_client.cli.delete import delete
from portus_client.cli.digest import digest
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.manifest import manifest
from portus_client.cli.ping import ping
from portus_client.cli.referrers import referrers
from portus_client.cli.resolve import resolve
from portus_client.cli.session import Session, shared_options, warn_of_misspelt_variables
from portus_client.cli.tag import tag
from portus_client.cli.tags import tags
from portus_client.cli.terminal import PROGRAM, output_failed, print_error
from portus_client.cli.watch import watch
from portus_client.version import version

_EPILOG = """
\b
Images: [HOST/]NAME[:TAG][@DIGEST], such as team/app:1.0. The gateway serves one
registry, so a HOST is ignored. The part before the first `/` is a HOST if it
contains a `.` or a `:`, or is `localhost`.

\b
Exit status:
  0    success
  1    another error: of the gateway, of the registry, or of the connection
  2    usage error, or an argument that the gateway refuses
  3    the repository, manifest, blob or platform does not exist
  4    refused: tags point to the digest, deletion is disabled, no permission, or no
       valid credential
  5    gateway or registry not available, or no answer in time: try again
  6    partial result: some tags or manifests could not be fetched, or tags remain
  130  interrupted
  141  the reader of the output has closed the pipe

\b
Completion, in bash (in zsh, write zsh_source):
  eval "$(_PORTUS_CLIENT_COMPLETE=bash_source portus-client)"
In fish:
  _PORTUS_CLIENT_COMPLETE=fish_source portus-client | source

\b
Examples:
  portus-client ping
  portus-client catalog --prefix team/
  portus-client --address gateway:50051 --plaintext manifest team/app:1.0
  portus-client delete team/app:1.0 sha256:... manifests --dry-run
"""


@click.group(
    epilog=_EPILOG,
    invoke_without_command=True,
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
)
@click.version_option(version(), prog_name=PROGRAM)
@shared_options
@click.pass_context
def command(context: click.Context, /, **_: object) -> None:
    """Inspect a container registry through portus-gateway, and delete from it.

    Options can be given before or after the command's name.
    """
    context.obj = Session.of(context)
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(ExitCode.USAGE)
    warn_of_misspelt_variables()


for _command in (catalog, tags, manifest, config, referrers, blob, batch, resolve, digest, delete, tag, watch, ping):
    command.add_command(_command)


bash_completion.install()


def run(arguments: Sequence[str]) -> int:
    """Runs the program and returns its exit status. Every error is one line on standard error."""
    if isinstance(sys.stdout, TextIOWrapper):
        # Characters that the terminal's encoding lacks are escaped, as Python does on standard error.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status: int | None = command.main(list(arguments), PROGRAM, standalone_mode=False)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx is not None else PROGRAM
        # A list of choices has one per line.
        message = " ".join(error.format_message().split()).rstrip(".")
        print_error(f"{message}{'' if message.endswith('?') else ';'} see {path} --help")
        return ExitCode.USAGE
    except OSError as error:
        return output_failed(error)
    except click.Abort:
        return ExitCode.INTERRUPTED
    return status or ExitCode.OK
