"""`portus-gateway serve`."""

import os

import click

from portus_gateway import process, settings
from portus_gateway.access.errors import InvalidAccessFile
from portus_gateway.cli.loading import quick_imports
from portus_gateway.cli.setting_options import given, setting_options
from portus_gateway.settings import InvalidSettings, Settings, Value
from portus_gateway.telemetry import logs

# EX_CONFIG of sysexits.h.
EXIT_CONFIGURATION = 78


@click.command()
@setting_options()
def serve(**flags: Value | None) -> None:
    """Serve gRPC until SIGTERM or SIGINT, then let running calls finish.

    Every setting is an environment variable and a flag; a flag overrides its variable. Only the password has no flag.
    Durations are seconds, or have a unit: 500ms, 30s, 5m, 1h, 2d.
    """
    try:
        loaded = settings.load(given(flags), os.environ)
    except InvalidSettings as error:
        report(error)
        raise SystemExit(EXIT_CONFIGURATION) from None
    logs.configure(loaded.log_format, loaded.log_level)
    process.allow_many_open_files()
    try:
        process.run(_serve(loaded) if loaded.workers == 1 else _serve_by_workers(loaded, flags))
    except (InvalidSettings, InvalidAccessFile) as error:
        report(error)
        raise SystemExit(EXIT_CONFIGURATION) from None
    except OSError as error:
        raise click.ClickException(str(error)) from None


def report(error: InvalidSettings | InvalidAccessFile) -> None:
    """Writes every mistake to standard error."""
    count = len(error.problems)
    problems = f"{count} problems" if count > 1 else "1 problem"
    place = error.path if isinstance(error, InvalidAccessFile) else "the settings"
    click.echo(f"portus-gateway: {problems} in {place}:", err=True)
    for problem in error.problems:
        click.echo(f"  {problem}", err=True)


async def _serve(loaded: Settings) -> None:
    # Imported here because each worker loads it, and the process that starts workers does not need it.
    with quick_imports():
        from portus_gateway import app

    async with process.stop_signal(grace=loaded.drain_grace) as stop, app.running(loaded):
        process.exclude_from_garbage_collection()
        await stop.wait()


async def _serve_by_workers(loaded: Settings, flags: dict[str, Value | None]) -> None:
    from portus_gateway.workers import serving

    await serving.serve(loaded, given(flags))
