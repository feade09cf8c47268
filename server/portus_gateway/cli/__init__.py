"""The command `portus-gateway`."""

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import click

from portus_gateway.cli.loading import load_structlog_without_rich, quick_imports
from portus_gateway.telemetry import quiet_grpc  # noqa: F401  (before anything imports grpc)

# Each is imported when it is called. To load everything would take most of a second.
_COMMANDS = {
    "descriptor-set": "Write the API as a descriptor set.",
    "dev": "Run a gateway over a registry in memory, to try it.",
    "dev-token-service": "Run a token service for a real registry, to try it.",
    "healthcheck": "Check whether a gateway serves.",
    "index": "Look at the live index, or build it anew.",
    "policy": "Check what a policy file allows.",
    "serve": "Run the gateway.",
}


# What a full disk or quota answers to a command that writes to standard output.
_OUTPUT_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


# What a shell reports for a command that SIGINT has ended.
_INTERRUPTED = 128 + signal.SIGINT


@contextmanager
def _failures_reported() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
    except OSError as error:
        if error.errno not in _OUTPUT_ERRORS:
            raise
        # Python writes the rest of the output at exit. That must not fail again.
        with Path(os.devnull).open("w") as null:
            os.dup2(null.fileno(), sys.stdout.fileno())
        raise click.ClickException(f"cannot write the output: {error.strerror}") from None


class _Commands(click.Group):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # `--help` and `--version` write here.
        with _failures_reported():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        with _failures_reported():
            return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-"):
            # Imported here because only a mistake needs it.
            import difflib

            similar = difflib.get_close_matches(name, _COMMANDS, 1)
            meant = f" Did you mean {similar[0]!r}?" if similar else ""
            raise click.UsageError(f"No such command {name!r}.{meant}", ctx)
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        if cmd_name == "serve":
            # A SIGHUP reloads files. One that comes before anybody listens to it must not end the process.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        name = cmd_name.replace("-", "_")
        try:
            with quick_imports():
                if cmd_name == "serve":
                    load_structlog_without_rich()
                command = getattr(import_module(f"portus_gateway.cli.{name}"), name)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("portus"):
                raise
            # The base installation is the client. It has this command, but not what the command needs.
            raise click.ClickException(
                f"{cmd_name} needs {error.name}: install portus-gateway with its extra 'server'"
            ) from None
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        # Imported here because to find the version out takes as long as a command should take.
        from portus_gateway import __version__

        click.echo(f"portus-gateway, version {__version__}")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
def main() -> None:
    """A typed gRPC API to a Docker Distribution (OCI) registry."""
