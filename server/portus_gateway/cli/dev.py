"""`portus-gateway dev`."""

import hashlib
import os
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import click

from portus_gateway import app, process, settings
from portus_gateway.access.errors import InvalidAccessFile
from portus_gateway.cli.addresses import read_address
from portus_gateway.cli.serve import EXIT_CONFIGURATION, report
from portus_gateway.cli.setting_options import given, setting_options
from portus_gateway.devregistry import EVERYTHING, DevRegistry, Fault, Flavour, NotificationEndpoint, User, seed_demo
from portus_gateway.listen_address import ListenAddress
from portus_gateway.settings import InvalidSettings, Value
from portus_gateway.telemetry import logs

# Settings that the registry in memory determines.
_FIXED_SETTINGS = frozenset(
    {"registry_url", "username", "password", "password_file", "registry_anonymous", "token_realm", "ca_file"}
    | {"blob_origins", "use_environment_proxy", "allow_delete", "workers"}
)

_INDEX_SETTINGS = ("index", "notifications_listen", "notifications_token_file")


def _read_faults(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> tuple[Fault, ...]:
    try:
        return tuple(Fault.parse(text) for text in texts)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.option(
    "--registry-listen",
    callback=read_address,
    default="127.0.0.1:0",
    show_default=True,
    metavar="HOST:PORT",
    help="Address of the registry. Its token service uses a free port of the same host.",
)
@click.option(
    "--flavour",
    type=click.Choice(get_args(Flavour)),
    default="3.1",
    show_default=True,
    help="What the registry behaves like: distribution 2.8 or 3.1, or the OCI distribution specification 1.1.",
)
@click.option(
    "--seed/--no-seed", default=True, show_default=True, help="Start with a few images, or with an empty registry."
)
@click.option(
    "--fault",
    "faults",
    callback=_read_faults,
    multiple=True,
    metavar="ROUTE:SETTING[,…]",
    help="Failure of the registry, its token service or its notifications, such as manifests:status=503,times=2,"
    " tags:delay=3, catalog:truncate, token:token-lifetime=2 or notifications:drop. Repeatable.",
)
@setting_options(without=_FIXED_SETTINGS)
def dev(
    registry_listen: ListenAddress, flavour: Flavour, seed: bool, faults: tuple[Fault, ...], **flags: Value | None
) -> None:
    """Run a gateway over a registry in memory, with a token service like that of Portus and a few images.

    Deletes are allowed. The gateway has an index, and the registry announces pushes, pulls and deletes to it, as
    distribution does: a push before its tag is written, one event after another, each until it is taken. All content is
    lost when the command ends. The registry has the user `portus` with a random password. To push images, choose the
    password with PORTUS_PASSWORD.
    """
    try:
        process.run(_serve(registry_listen, flavour, seed, faults, given(flags)))
    except (InvalidSettings, InvalidAccessFile) as error:
        report(error)
        raise SystemExit(EXIT_CONFIGURATION) from None
    except OSError as error:
        raise click.ClickException(str(error)) from None


async def _serve(
    registry_listen: ListenAddress,
    flavour: Flavour,
    seed: bool,
    faults: tuple[Fault, ...],
    flags: dict[str, Value | None],
) -> None:
    password = os.environ.get("PORTUS_PASSWORD") or secrets.token_urlsafe(18)
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(
            DevRegistry(
                [User("portus", password, EVERYTHING)],
                flavour=flavour,
                faults=faults,
                host=registry_listen.host,
                port=registry_listen.port,
            )
        )
        if seed:
            seed_demo(registry)
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="portus-gateway-dev-")))
        token = secrets.token_urlsafe(18)
        loaded = settings.load(
            {
                **_index_settings(folder, token, flags),
                # Nobody needs a record of deletes here. `--audit-log -` shows them.
                "audit_log": os.environ.get("PORTUS_AUDIT_LOG") or os.devnull,
                **flags,
                "registry_url": registry.url,
                "username": registry.username,
                "password": password,
                "password_file": None,
                "registry_anonymous": False,
                "token_realm": registry.realm,
                "ca_file": None,
                "use_environment_proxy": False,
                "allow_delete": True,
                "workers": "1",
            },
            os.environ,
        )
        logs.configure(loaded.log_format, loaded.log_level)
        async with process.stop_signal(grace=loaded.drain_grace) as stop, app.running(loaded) as gateway:
            if gateway.notifications_address is not None and loaded.tls_certificate_file is None:
                url = f"http://{gateway.notifications_address}/notifications"
                registry.notifications.endpoint = NotificationEndpoint(url, token)
            open_to_all = loaded.tls_certificate_file is None and not loaded.authenticates
            click.echo(_welcome(gateway.address, registry, open_to_all=open_to_all))
            await stop.wait()


def _index_settings(folder: Path, token: str, flags: Mapping[str, Value | None]) -> dict[str, Value | None]:
    """The index is on, in a folder that is deleted at the end, unless the user has set one up."""
    if any(flags.get(name) or os.environ.get(settings.variable_of(name)) for name in _INDEX_SETTINGS):
        return {}
    tokens = folder / "notification-tokens"
    tokens.write_text(f"dev sha256:{hashlib.sha256(token.encode()).hexdigest()}\n")
    return {
        "index": f"sqlite://{folder / 'index.db'}",
        "notifications_listen": "127.0.0.1:0",
        "notifications_token_file": str(tokens),
    }


def _welcome(address: ListenAddress, registry: DevRegistry, *, open_to_all: bool) -> str:
    calls = _first_calls(address) if open_to_all else ""
    return f"""
The gateway serves gRPC at {address}, over a registry in memory at {registry.url}
(user {registry.username}, tokens from {registry.realm}).{calls}

Press Ctrl-C to stop it.
"""


def _first_calls(address: ListenAddress) -> str:
    return f""" Try:

  portus-client --address {address} catalog
  portus-client --address {address} manifest library/alpine:3.20
  grpcurl -plaintext {address} list
  grpcurl -plaintext -d '{{"include_tags": true}}' {address} portus.registry.v1.RegistryService/Catalog
  grpcurl -plaintext -d '{{"repository": "team/app", "tag": "1.0.0"}}' \\
    {address} portus.registry.v1.RegistryService/ResolveManifest"""
