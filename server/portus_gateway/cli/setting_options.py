"""Flags made of the settings: one for each, but for secrets."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from pydantic.fields import FieldInfo

from portus_gateway.settings import Settings, Value, flag_of, variable_of

Command = TypeVar("Command", bound=Callable[..., Any])

SECRETS = frozenset({"password"})


def setting_options(*, without: frozenset[str] = frozenset()) -> Callable[[Command], Command]:
    """Gives a command a flag for each setting. What was not given stays None; `given` picks the rest."""

    def decorate(command: Command) -> Command:
        for name, field in reversed(Settings.model_fields.items()):
            if name not in SECRETS | without:
                command = _option(name, field)(command)
        return command

    return decorate


def given(flags: dict[str, Value | None]) -> dict[str, Value | None]:
    """The flags that were given."""
    return {name: value for name, value in flags.items() if value is not None}


def _option(name: str, field: FieldInfo) -> Callable[[Command], Command]:
    flag = flag_of(name)
    text = (field.description or "").replace("`", "")
    variable = variable_of(name)
    if field.annotation is bool:
        declaration = f"{flag}/--no-{flag.removeprefix('--')}"
        return click.option(declaration, name, default=None, is_flag=True, help=f"{text}  [{variable}]")
    default = f"; {shown_default(field)}" if field.default is not None and not field.is_required() else ""
    return click.option(flag, name, metavar="VALUE", help=f"{text}  [{variable}{default}]")


def shown_default(field: FieldInfo) -> str:
    """A default as one would write it."""
    return f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
