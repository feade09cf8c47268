"""Command line flags made from the settings: one for each setting that is not a secret."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from pydantic.fields import FieldInfo

from portus_gateway.setting_types import placeholder
from portus_gateway.settings import SECRETS, Settings, Value, flag_of, variable_of

Command = TypeVar("Command", bound=Callable[..., Any])


def setting_options(*, without: frozenset[str] = frozenset()) -> Callable[[Command], Command]:
    """Adds a flag for each setting to a command, except for secrets and `without`. A flag that is not given is None."""

    def decorate(command: Command) -> Command:
        for name, field in reversed(Settings.model_fields.items()):
            if name not in SECRETS | without:
                command = _option(name, field)(command)
        return command

    return decorate


def given(flags: dict[str, Value | None]) -> dict[str, Value | None]:
    """The flags that the user gave."""
    return {name: value for name, value in flags.items() if value is not None}


def _option(name: str, field: FieldInfo) -> Callable[[Command], Command]:
    flag = flag_of(name)
    text = (field.description or "").replace("`", "")
    variable = variable_of(name)
    if field.annotation is bool:
        declaration = f"{flag}/--no-{flag.removeprefix('--')}"
        return click.option(declaration, name, default=None, is_flag=True, help=f"{text}  [{variable}]")
    default = _shown_default(field)
    shown = f"{variable}; default: {default}" if default else variable
    return click.option(flag, name, metavar=placeholder(field), help=f"{text}  [{shown}]")


def _shown_default(field: FieldInfo) -> str:
    """The default as a user writes it, empty if there is none."""
    if field.is_required() or field.default in (None, ()):
        return ""
    return f"{field.default:.12g}" if isinstance(field.default, float) else str(field.default)
