"""The program `portus-client`: its shared options and its commands."""

import sys
from collections.abc import Sequence
from io import TextIOWrapper

import click

from portus_client.cli.batch import batch
from portus_client.cli.catalog import catalog
from portus_client.cli.delete import delete
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.manifest import manifest
from portus_client.cli.ping import ping
from portus_client.cli.resolve import resolve
from portus_client.cli.session import Session, shared_options
from portus_client.cli.tags import tags
from portus_client.cli.terminal import PROGRAM, complain, output_failed
from portus_client.version import version

_EPILOG = """
\b
Images: [HOST/]NAME[:TAG][@DIGEST], such as team/app:1.0. The gateway serves one
registry, so a HOST is left out: what stands before the first `/` and contains
a `.` or a `:`, or is `localhost`.

\b
Exit status:
  0    all went well
  1    another failure: of the gateway, the registry, or the connection's set-up
  2    wrong usage, or an argument that the gateway refuses
  3    no such repository, manifest, blob or platform
  4    refused: tags point there, deletion is off, or no permission
  5    gateway or registry not available, or no answer in time: try again
  6    in part: some tags or manifests could not be had
  130  interrupted; 141: whoever read the output went away

\b
Completion, in bash (zsh: zsh_source; fish: ...=fish_source portus-client | source):
  eval "$(_PORTUS_CLIENT_COMPLETE=bash_source portus-client)"

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
def command(
    context: click.Context,
    profile: str | None,
    address: str | None,
    timeout: float | None,
    output: str | None,
    plaintext: bool | None,
    ca_file: str | None,
    certificate: str | None,
    key: str | None,
    token_file: str | None,
) -> None:
    """Look into a container registry, and delete from it, through its portus-gateway.

    The options can stand before or behind the command's name.
    """
    context.obj = Session(
        profile=profile,
        address=address,
        timeout=timeout,
        output=output,
        plaintext=plaintext,
        ca_file=ca_file,
        certificate=certificate,
        key=key,
        token_file=token_file,
    )
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(ExitCode.USAGE)


for _command in (catalog, tags, manifest, batch, resolve, delete, ping):
    command.add_command(_command)


def run(arguments: Sequence[str]) -> int:
    """Runs the program, and answers with its exit status. Wrong usage is said in one line, like every other error."""
    if isinstance(sys.stdout, TextIOWrapper):
        # As standard error is: what the terminal's encoding lacks is no reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status: int | None = command.main(list(arguments), PROGRAM, standalone_mode=False)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx is not None else PROGRAM
        complain(f"{error.format_message().rstrip('.')}; see {path} --help")
        return ExitCode.USAGE
    except OSError as error:
        return output_failed(error)
    except click.Abort:
        return ExitCode.INTERRUPTED
    return status or ExitCode.OK
