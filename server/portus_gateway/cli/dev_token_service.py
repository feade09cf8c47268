"""`portus-gateway dev-token-service`."""

from pathlib import Path

import click
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from portus_gateway import process
from portus_gateway.cli.addresses import read_address
from portus_gateway.devregistry import EVERYTHING, TokenService, User
from portus_gateway.devregistry.signing_key import SigningKey
from portus_gateway.distribution.credentials import PasswordFile
from portus_gateway.listen_address import ListenAddress
from portus_gateway.telemetry import logs

_log = structlog.get_logger(__name__)


def _read_password(_: click.Context, __: click.Parameter, file: Path) -> str:
    try:
        password = PasswordFile(file).read()
    except OSError as error:
        raise click.BadParameter(f"the file cannot be read: {error.strerror}") from None
    except UnicodeError:
        raise click.BadParameter("the file must be UTF-8 text") from None
    if not password:
        raise click.BadParameter("the file is empty")
    return password


def _read_signing_key(_: click.Context, __: click.Parameter, file: Path) -> SigningKey:
    try:
        key = load_pem_private_key(file.read_bytes(), None)
    except OSError as error:
        raise click.BadParameter(f"the file cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise click.BadParameter("the file must contain a private key in PEM format, without passphrase") from None
    if not isinstance(key, RSAPrivateKey):
        raise click.BadParameter("the key must be an RSA key")
    return SigningKey(key)


@click.command("dev-token-service")
@click.option(
    "--listen",
    callback=read_address,
    default="127.0.0.1:5001",
    show_default=True,
    metavar="HOST:PORT",
    help="Address to serve /v2/token on, over HTTP.",
)
@click.option("--username", default="portus", show_default=True, help="Name of the only account. It may do everything.")
@click.option(
    "--password-file",
    "password",
    callback=_read_password,
    type=click.Path(path_type=Path),
    required=True,
    help="File with the password of that account.",
)
@click.option(
    "--signing-key-file",
    "signing_key",
    callback=_read_signing_key,
    type=click.Path(path_type=Path),
    required=True,
    help="RSA key (PEM) that signs the tokens. The registry needs its certificate in auth.token.rootcertbundle.",
)
@click.option("--service", required=True, help="Value of auth.token.service in the registry's settings.")
@click.option("--issuer", required=True, help="Value of auth.token.issuer in the registry's settings.")
def dev_token_service(
    listen: ListenAddress, username: str, password: str, signing_key: SigningKey, service: str, issuer: str
) -> None:
    """Run a token service for a real registry, like that of Portus, to try the gateway. Not for production."""
    logs.configure("auto", "info")
    tokens = TokenService(
        [User(username, password, EVERYTHING)],
        service=service,
        issuer=issuer,
        signing_key=signing_key,
        host=listen.host,
        port=listen.port,
    )
    try:
        process.run(_serve(tokens))
    except OSError as error:
        raise click.ClickException(str(error)) from None


async def _serve(tokens: TokenService) -> None:
    async with process.stop_signal() as stop, tokens:
        _log.info("listening", realm=tokens.realm, username=tokens.username)
        await stop.wait()
