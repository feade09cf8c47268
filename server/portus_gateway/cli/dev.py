"""`portus-gateway dev`."""

import os
import secrets
from typing import get_args

import click

from portus_gateway import app, process, settings
from portus_gateway.access.errors import InvalidAccessFile
from portus_gateway.cli.addresses import read_address
from portus_gateway.cli.serve import EXIT_CONFIGURATION, report
from portus_gateway.cli.setting_options import given, setting_options
from portus_gateway.devregistry import EVERYTHING, DevRegistry, Fault, Flavour, User, seed_demo
from portus_gateway.listen_address import ListenAddress
from portus_gateway.settings import InvalidSettings, Value
from portus_gateway.telemetry import logs

# Settings that the registry in memory determines.
_FIXED_SETTINGS = frozenset(
    {"registry_url", "username", "password", "password_file", "registry_anonymous", "token_realm", "ca_file"}
    | {"blob_origins", "use_environment_proxy", "allow_delete", "workers"}
)


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
    help="Failure of the registry or its token service, such as manifests:status=503,times=2, tags:delay=3,"
    " catalog:truncate or token:token-lifetime=2. Repeatable.",
)
@setting_options(without=_FIXED_SETTINGS)
def dev(
    registry_listen: ListenAddress, flavour: Flavour, seed: bool, faults: tuple[Fault, ...], **flags: Value | None
) -> None:
    """Run a gateway over a registry in memory, with a token service like that of Portus and a few images.

    Deletes are allowed. All content is lost when the command ends. The registry has the user `portus` with a random
    password. To push images, choose the password with PORTUS_PASSWORD.
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
    async with DevRegistry(
        [User("portus", password, EVERYTHING)],
        flavour=flavour,
        faults=faults,
        host=registry_listen.host,
        port=registry_listen.port,
    ) as registry:
        if seed:
            seed_demo(registry)
        loaded = settings.load(
            {
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
            open_to_all = loaded.tls_certificate_file is None and not loaded.authenticates
            click.echo(_welcome(gateway.address, registry, open_to_all=open_to_all))
            await stop.wait()


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
