"""What surrounds every command: the options that all of them share, the client, and the end of every error."""

import functools
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeAlias

import click

from portus_client.cli import failures, profiles
from portus_client.cli.exit_codes import ExitCode, exit_code
from portus_client.cli.terminal import complain, output_failed
from portus_client.client import RegistryClient
from portus_client.connection import (
    DEFAULT_ADDRESS,
    DEFAULT_DELETE_TIMEOUT,
    DEFAULT_STREAM_TIMEOUT,
    DEFAULT_TIMEOUT,
)
from portus_client.errors import RegistryError

P = ParamSpec("P")
Callback: TypeAlias = Callable[..., object]

_ENVIRONMENT_PREFIX = "PORTUS_GATEWAY"


class Style(Enum):
    """For whom output is."""

    TERMINAL = "terminal"
    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What the shared options say. None is: not given."""

    profile: str | None = None
    address: str | None = None
    timeout: float | None = None
    output: str | None = None
    plaintext: bool | None = None
    ca_file: str | None = None
    certificate: str | None = None
    key: str | None = None
    token_file: str | None = None

    def over(self, other: Self) -> Self:
        """These options, and where one was not given, the one of `other`."""
        given = {item.name: getattr(self, item.name) for item in fields(self)}
        return replace(other, **{name: value for name, value in given.items() if value is not None})

    def with_profile(self) -> Self:
        """These options, and where one was not given, what the profile says. Raises `click.UsageError`."""
        if self.profile is None:
            return self
        try:
            profile = profiles.load(self.profile)
        except ValueError as error:
            raise click.UsageError(f"profile {self.profile}: {error}") from error
        elsewhere = self.address is not None and self.address != profile.address
        if elsewhere and profile.address is not None and profile.token_file is not None and self.token_file is None:
            raise click.UsageError(
                f"the token of profile {self.profile} is for {profile.address}, not for {self.address} (--address or"
                f" {_ENVIRONMENT_PREFIX}_ADDRESS): give --token-file too, or no other address"
            )
        return self.over(type(self)(**asdict(profile)))

    @property
    def style(self) -> Style:
        if self.output == "json":
            return Style.JSON
        return Style.TERMINAL if sys.stdout.isatty() else Style.TEXT

    def connect(self) -> RegistryClient:
        """The client that the options ask for. Raises `click.UsageError` where they cannot work."""
        try:
            return RegistryClient(
                self.address or DEFAULT_ADDRESS,
                timeout=self.timeout or DEFAULT_TIMEOUT,
                stream_timeout=self.timeout or DEFAULT_STREAM_TIMEOUT,
                delete_timeout=self.timeout or DEFAULT_DELETE_TIMEOUT,
                plaintext=self.plaintext,
                ca_file=self.ca_file,
                certificate_file=self.certificate,
                key_file=self.key,
                token=None if self.token_file is None else _token(self.token_file),
            )
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        except OSError as error:
            raise click.UsageError(f"{error.filename}: {error.strerror}") from error


def shared_options(function: Callback) -> Callback:
    """Adds the options that all commands share to the program itself."""
    return _options(function, repeated=False)


def with_session(function: Callable[Concatenate[Session, P], ExitCode]) -> Callback:
    """Makes a function a command's: it gets the session first, and what it answers is the exit status.

    The shared options can be given behind the command's name too. Whatever ends the function ends the program with one
    line on standard error, and never with a traceback.
    """

    @click.pass_context
    @functools.wraps(function)
    def run(context: click.Context, /, *args: P.args, **parameters: P.kwargs) -> None:
        # They are not among the parameters of `function`, which alone the types know.
        behind = Session(**{item.name: parameters.pop(item.name) for item in fields(Session)})  # type: ignore[arg-type]
        session = behind.over(context.find_object(Session) or Session()).with_profile()
        context.exit(_end(functools.partial(function, session, *args, **parameters), session))

    return _options(run, repeated=True)


def _end(function: Callable[[], ExitCode], session: Session) -> ExitCode:
    try:
        try:
            code = function()
        except RegistryError as error:
            sys.stdout.flush()
            complain(failures.line(error, session.address or DEFAULT_ADDRESS, session.timeout))
            code = exit_code(error)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except OSError as error:
        return output_failed(error)
    return code


def _token(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{path} holds no token, but something that is not text") from None


def _complete_profile(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    try:
        return [name for name in profiles.names() if name.startswith(incomplete)]
    except ValueError:
        # In the middle of a line there is nowhere to say what is wrong; using the profile will.
        return []


def _options(function: Callback, *, repeated: bool) -> Callback:
    # Behind the command's name they are hidden, or each command's help would begin with all of them; and there the
    # environment does not count, or it would win over what stands before the name.
    def environment(name: str) -> str | None:
        return None if repeated else f"{_ENVIRONMENT_PREFIX}_{name}"

    file = click.Path(dir_okay=False)
    options = (
        click.option(
            "--profile",
            metavar="NAME",
            envvar=environment("PROFILE"),
            show_envvar=True,
            hidden=repeated,
            shell_complete=_complete_profile,
            help="Connect as [profiles.NAME] in ~/.config/portus-client/config.toml says.",
        ),
        click.option(
            "--address",
            metavar="HOST:PORT",
            envvar=environment("ADDRESS"),
            show_envvar=True,
            hidden=repeated,
            help=f"Where the gateway listens.  [default: {DEFAULT_ADDRESS}]",
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True, max=profiles.MAX_TIMEOUT),
            metavar="SECONDS",
            envvar=environment("TIMEOUT"),
            show_envvar=True,
            hidden=repeated,
            help="How long a call may take."
            f"  [default: {DEFAULT_TIMEOUT:.0f}; delete: {DEFAULT_DELETE_TIMEOUT:.0f}; catalog and batch:"
            f" {DEFAULT_STREAM_TIMEOUT:.0f}]",
        ),
        click.option(
            "--output",
            type=click.Choice(["table", "json"]),
            hidden=repeated,
            help="Tables for people (plain text where there is no terminal), or JSON.  [default: table]",
        ),
        click.option(
            "--plaintext/--tls",
            default=None,
            envvar=environment("PLAINTEXT"),
            show_envvar=True,
            hidden=repeated,
            help="Whether to do without TLS.  [default: to this machine yes, to others no]",
        ),
        click.option(
            "--ca-file",
            type=file,
            envvar=environment("CA_FILE"),
            show_envvar=True,
            hidden=repeated,
            help="Who signed the gateway's certificate (PEM). Without it: the public authorities.",
        ),
        click.option(
            "--certificate",
            type=file,
            envvar=environment("CERTIFICATE"),
            show_envvar=True,
            hidden=repeated,
            help="The certificate that this client shows (PEM), for mTLS.",
        ),
        click.option(
            "--key",
            type=file,
            envvar=environment("KEY"),
            show_envvar=True,
            hidden=repeated,
            help="The key of that certificate (PEM).",
        ),
        click.option(
            "--token-file",
            type=file,
            envvar=environment("TOKEN_FILE"),
            show_envvar=True,
            hidden=repeated,
            help="A file with the token to send to the gateway. Never sent in plaintext to another machine.",
        ),
    )
    return functools.reduce(lambda decorated, option: option(decorated), reversed(options), function)
