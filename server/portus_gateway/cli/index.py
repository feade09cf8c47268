"""`portus-gateway index`."""

import asyncio
import hashlib
import json
import os
import secrets
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime

import click
from yarl import URL

from portus_gateway import settings
from portus_gateway.app import distribution_configuration
from portus_gateway.cli.serve import EXIT_CONFIGURATION, report
from portus_gateway.distribution import DistributionClient
from portus_gateway.errors import GatewayError
from portus_gateway.index import receiver
from portus_gateway.index.comparison import compared
from portus_gateway.index.errors import StoreError
from portus_gateway.index.sql_store import SqlStore
from portus_gateway.index.store import IndexStore, TagEntry
from portus_gateway.index.store_address import is_postgres, sqlite_path, store_at
from portus_gateway.operations.setting_advice import operator_text
from portus_gateway.settings import InvalidSettings, Problem, Settings
from portus_gateway.telemetry import logs

# Tags that are read from the store at a time.
_AT_ONCE = 10_000


@click.group()
def index() -> None:
    """Look at the live index, or build it anew. The settings are the environment variables of the gateway."""


@index.command()
def status() -> None:
    """Show the state of the index. Exit status 0: it is ready. 1: it is not."""

    async def show(loaded: Settings) -> int:
        async with _existing(loaded)() as store:
            state = await store.state(counted=True)
        walk = "none yet" if state.walk_started is None else _time(state.walk_started)
        click.echo(f"state:          {'ready' if state.ready else 'building'}")
        click.echo(f"last walk:      {walk}")
        click.echo(f"repositories:   {state.repositories}, {state.dirty} of them are to be read")
        click.echo(f"tags:           {state.tags}")
        click.echo(
            f"changes:        {state.oldest + 1} to {state.head} are kept" if state.head else "changes:        none"
        )
        return 0 if state.ready else 1

    _run(show)


@index.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def rebuild(yes: bool) -> None:
    """Forget everything and read the registry again. Watchers have to list again.

    A gateway that runs goes on, and begins to read at once. Use this also if the registry has a new address.
    """
    with _errors_reported():
        store = _store(_settings())
        if not yes:
            _ask("Forget the index with its history?")
        asyncio.run(store().rebuild_unopened())
        click.echo("the index is empty: a gateway that runs, or the next one, reads the registry")


def _ask(question: str) -> None:
    try:
        click.confirm(question, abort=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo()
        raise click.UsageError("cannot ask without a terminal: give --yes") from None


@index.command(short_help="Compare the index with the registry.")
def check() -> None:
    """Compare the index with the registry, and print the differences. Exit status 0: there is none. 1: there are.

    What changes while this runs is shown as a difference too: run it again.
    """

    async def compare(loaded: Settings) -> int:
        differences = 0
        async with (
            _existing(loaded)() as store,
            DistributionClient(distribution_configuration(loaded)) as client,
            aclosing(compared(store, client, loaded.upstream_concurrency)) as found,
        ):
            async for difference in found:
                differences += 1
                click.echo(str(difference))
        noun = "difference" if differences == 1 else "differences"
        click.echo(f"{differences or 'no'} {noun}", err=True)
        return 1 if differences else 0

    _run(compare)


@index.command(short_help="Print the tags of the index as JSON lines.")
def export() -> None:
    """Print the tags of the index as JSON lines: repository, tag, digest, and when the digest was last checked."""

    async def write(loaded: Settings) -> int:
        async with _existing(loaded)() as store, aclosing(_tags(store)) as tags:
            async for entry in tags:
                click.echo(
                    json.dumps(
                        {
                            "repository": entry.repository,
                            "tag": entry.tag or None,
                            "digest": None if entry.digest is None else entry.digest.text,
                            "checked_at": None if entry.checked_at is None else _time(entry.checked_at),
                        }
                    )
                )
        return 0

    _run(write)


def _read_url(_: click.Context, __: click.Parameter, text: str) -> str:
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host or not url.path.endswith(receiver.PATH):
        raise click.BadParameter(
            f"must be an http or https address that ends with {receiver.PATH}, such as"
            f" http://gateway.example:8090{receiver.PATH}"
        )
    return text


@index.command(short_help="Print the registry's settings for notifications.")
@click.option(
    "--url",
    callback=_read_url,
    required=True,
    help="Address of the receiver: http://gateway.example:8090/notifications.",
)
def endpoint(url: str) -> None:
    """Print the registry's settings for notifications, with a new token.

    The line for PORTUS_NOTIFICATIONS_TOKEN_FILE goes to standard error.
    """
    token = secrets.token_hex(32)
    click.echo(f"""notifications:
  endpoints:
    - name: portus-gateway
      url: {json.dumps(url)}
      headers:
        Authorization: [Bearer {token}]
      timeout: 1s
      threshold: 5
      backoff: 1s
      ignoredmediatypes:
        - application/octet-stream""")
    click.echo(f"registry sha256:{hashlib.sha256(token.encode()).hexdigest()}", err=True)


def _run(work: Callable[[Settings], Coroutine[object, None, int]]) -> None:
    """Runs `work` with the settings of the environment; the command ends with its exit status."""
    with _errors_reported():
        raise SystemExit(asyncio.run(work(_settings())))


def _settings() -> Settings:
    loaded = settings.load({}, os.environ)
    logs.configure(loaded.log_format, "error")
    return loaded


@contextmanager
def _errors_reported() -> Iterator[None]:
    try:
        yield
    except InvalidSettings as error:
        report(error)
        raise SystemExit(EXIT_CONFIGURATION) from None
    except StoreError as error:
        raise click.ClickException(str(error)) from None
    except GatewayError as error:
        raise click.ClickException(operator_text(error)) from None


def _store(loaded: Settings) -> Callable[[], SqlStore]:
    if loaded.index is None:
        raise InvalidSettings([Problem("index", "is not set, so there is no index")])
    return store_at(loaded.index, loaded.registry_url, password_file=loaded.index_password_file, keeps=False)


def _existing(loaded: Settings) -> Callable[[], SqlStore]:
    """The store, for commands that only look. They make no file: it could belong to another user than the gateway's."""
    store = _store(loaded)
    if loaded.index is not None and not is_postgres(loaded.index):
        path = sqlite_path(loaded.index)
        try:
            path.stat()
        except FileNotFoundError:
            raise StoreError(f"there is no index at {path} yet: a gateway that starts makes it") from None
        except OSError as error:
            raise StoreError(f"{path} cannot be opened ({error.strerror}): run this as the gateway's user") from None
    return store


async def _tags(store: IndexStore) -> AsyncGenerator[TagEntry, None]:
    after = ("", "")
    while entries := await store.repository_tags(after, "", _AT_ONCE):
        for entry in entries:
            yield entry
        after = (entries[-1].repository, entries[-1].tag)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
