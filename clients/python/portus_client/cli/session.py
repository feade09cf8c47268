"""What all commands share: the options of the connection, the client, and the handling of errors."""

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from typing import Concatenate, Final, ParamSpec, Self, TypeAlias

import click

from portus_client.cli import failures, json_output, profiles
from portus_client.cli.exit_codes import ExitCode, exit_code
from portus_client.cli.misspelt_variables import misspelt
from portus_client.cli.profiles import Profile
from portus_client.cli.template import Template
from portus_client.cli.terminal import output_failed, print_error
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

_ENVIRONMENT_PREFIX: Final = "PORTUS_GATEWAY"


class OutputFormat(Enum):
    """The format of the output."""

    TERMINAL = "tables for people"
    TEXT = "plain lines for pipes and files"
    JSON = "JSON"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(Profile):
    """The shared options of one run: the connection, the profile and the output format. None means not given."""

    profile: str | None = None
    output: str | None = None
    template: str | None = None

    @classmethod
    def of(cls, context: click.Context) -> Self:
        """The shared options among the parameters of a command."""
        return cls(**{item.name: context.params[item.name] for item in fields(cls)})

    def or_else(self, other: Self) -> Self:
        """These options; options that were not given come from `other`."""
        own = {item.name: getattr(self, item.name) for item in fields(self)}
        return replace(other, **{name: value for name, value in own.items() if value is not None})

    def with_profile(self) -> Self:
        """These options; options that were not given come from the profile. Raises `click.UsageError`."""
        if self.profile is None:
            return self
        try:
            profile = profiles.load(self.profile)
        except ValueError as error:
            raise click.UsageError(f"profile {self.profile}: {error}") from error
        other_address = self.address is not None and self.address != profile.address
        if other_address and profile.address is not None and profile.token_file is not None and self.token_file is None:
            raise click.UsageError(
                f"the token of profile {self.profile} is for {profile.address}, not for {self.address} (--address or"
                f" {_ENVIRONMENT_PREFIX}_ADDRESS): give --token-file too, or leave out the address"
            )
        return self.or_else(type(self)(**asdict(profile)))

    @property
    def output_format(self) -> OutputFormat:
        # A template chooses from the same fields.
        if self.output == "json" or self.template is not None:
            return OutputFormat.JSON
        return OutputFormat.TERMINAL if sys.stdout.isatty() else OutputFormat.TEXT

    def parsed_template(self) -> Template | None:
        """The template of --format. Raises `click.UsageError` if it is invalid, or if --output is given too."""
        if self.template is None:
            return None
        if self.output is not None:
            raise click.UsageError("--format and --output exclude each other: leave one of them out")
        try:
            return Template.parse(self.template)
        except ValueError as error:
            raise click.UsageError(f"--format: {error}") from error

    def connect(self) -> RegistryClient:
        """A client with these options. Raises `click.UsageError` if they cannot work."""
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
                token_file=self.token_file,
            )
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        except OSError as error:
            raise click.UsageError(f"{error.filename} cannot be read: {error.strerror}") from error


def shared_options(function: Callback) -> Callback:
    """Adds the shared options to the program itself, before the command's name."""
    return _with_options(function, repeated=False)


def with_session(function: Callable[Concatenate[Session, P], ExitCode]) -> Callback:
    """Makes a command of a function that takes the session and returns the exit status.

    The shared options are allowed after the command's name too. Every error ends the program with one line on standard
    error, without a traceback.
    """

    @click.pass_context
    @functools.wraps(function)
    def run(context: click.Context, /, *args: P.args, **parameters: P.kwargs) -> None:
        session = Session.of(context).or_else(context.find_object(Session) or Session()).with_profile()
        for option in fields(Session):
            parameters.pop(option.name)
        template = session.parsed_template()
        if template is not None:
            if parameters.get("raw"):
                raise click.UsageError("--format and --raw exclude each other: leave one of them out")
            json_output.use_template(template)
        code = _run(functools.partial(function, session, *args, **parameters), session)
        if template is not None:
            _report_unknown(template)
        context.exit(code)

    return _with_options(run, repeated=True)


def _run(function: Callable[[], ExitCode], session: Session) -> ExitCode:
    try:
        try:
            code = function()
        except RegistryError as error:
            sys.stdout.flush()
            print_error(failures.line(error, session.address or DEFAULT_ADDRESS, session.timeout))
            code = exit_code(error)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except OSError as error:
        return output_failed(error)
    return code


def _report_unknown(template: Template) -> None:
    """Says which fields of the template no result had."""
    for name in template.unknown():
        print_error(f"no result has a field {name}; the fields are {', '.join(template.known)}")


def _complete_profile(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    try:
        return [name for name in profiles.names() if name.startswith(incomplete)]
    except ValueError:
        # Completion cannot show a message. Using the profile reports the error.
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class _Option:
    """One of the shared options. Its name on the command line gives the name of its environment variable."""

    name: str
    help: str
    metavar: str | None = None
    # Quoted: in older versions of click it is not generic.
    type: "click.ParamType[object] | None" = None
    parameter: str | None = None
    in_environment: bool = True
    complete: Callable[[click.Context, click.Parameter, str], list[str]] | None = None

    @property
    def variable(self) -> str:
        """The environment variable of the option."""
        return f"{_ENVIRONMENT_PREFIX}_{self.name.partition('/')[0].removeprefix('--').replace('-', '_').upper()}"

    def added_to(self, function: Callback, *, repeated: bool) -> Callback:
        """Adds the option to a command.

        After the command's name (`repeated`) it is hidden, to keep each command's help short. There it is not read
        from the environment, which would override the option before the command's name.
        """
        return click.option(
            self.name,
            *filter(None, (self.parameter,)),
            default=None,
            type=self.type,
            metavar=self.metavar,
            envvar=self.variable if self.in_environment and not repeated else None,
            show_envvar=True,
            hidden=repeated,
            shell_complete=self.complete,
            help=self.help,
        )(function)


class _Seconds(click.FloatRange):
    """A number of seconds. `30s` is accepted too, because the settings of the gateway are written like this."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(str(value).removesuffix("s"))
        except ValueError:
            seconds = 0.0
        if not 0 < seconds <= profiles.MAX_TIMEOUT:
            message = f"{str(value)!r} is not a number of seconds above 0 and at most {profiles.MAX_TIMEOUT}"
            self.fail(message, param, ctx)
        return seconds


_FILE = click.Path(dir_okay=False)
_OPTIONS: Final = (
    _Option(
        name="--profile",
        metavar="NAME",
        complete=_complete_profile,
        help="Use the connection [profiles.NAME] in ~/.config/portus-client/config.toml.",
    ),
    _Option(
        name="--address",
        metavar="HOST:PORT",
        help=f"Address of the gateway.  [default: {DEFAULT_ADDRESS}]",
    ),
    _Option(
        name="--timeout",
        type=_Seconds(min=0, min_open=True, max=profiles.MAX_TIMEOUT),
        metavar="SECONDS",
        help="Maximum duration of a call."
        f"  [default: {DEFAULT_TIMEOUT:.0f}; delete: {DEFAULT_DELETE_TIMEOUT:.0f}; catalog and batch:"
        f" {DEFAULT_STREAM_TIMEOUT:.0f}]",
    ),
    _Option(
        name="--output",
        type=click.Choice(["table", "json"]),
        in_environment=False,
        help="Output format. A table is plain text if the output is not a terminal.  [default: table]",
    ),
    _Option(
        name="--format",
        parameter="template",
        metavar="TEMPLATE",
        in_environment=False,
        help="Write a line for each result: '{tag} {digest}'. The fields are those of --output json: {platform.os},"
        " {annotations[KEY]}, {size:>12}.",
    ),
    _Option(
        name="--plaintext/--tls",
        help="Whether to connect without TLS.  [default: plaintext to this machine, TLS to others]",
    ),
    _Option(
        name="--ca-file",
        type=_FILE,
        help="CA certificates that sign the gateway's certificate (PEM).  [default: the public CAs]",
    ),
    _Option(name="--certificate", type=_FILE, help="Client certificate for mTLS (PEM)."),
    _Option(name="--key", type=_FILE, help="Key of the client certificate (PEM)."),
    _Option(
        name="--token-file",
        type=_FILE,
        help="File with the token for the gateway. Never sent in plaintext to another machine.",
    ),
)


def warn_of_misspelt_variables() -> None:
    """Says which variables of the environment are ignored, and which ones may be meant."""
    known = [option.variable for option in _OPTIONS if option.in_environment]
    for variable, meant in misspelt(os.environ, known, f"{_ENVIRONMENT_PREFIX}_"):
        print_error(f"{variable} is ignored: did you mean {meant}?")


def _with_options(function: Callback, *, repeated: bool) -> Callback:
    return functools.reduce(
        lambda decorated, option: option.added_to(decorated, repeated=repeated), reversed(_OPTIONS), function
    )
