"""The types of the settings' values: how a user writes them, what range they have, and words for both."""

from collections.abc import Callable, Iterable
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BeforeValidator, Field
from pydantic.fields import FieldInfo
from pydantic_settings import NoDecode
from yarl import URL

from portus_gateway.distribution.origin import Origin
from portus_gateway.listen_address import ListenAddress

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_WEEK = 7 * 86400


def _seconds(value: object) -> object:
    """Reads `30`, `30s`, `500ms`, `5m`, `1h` or `2d` as seconds. The validation of numbers gets the rest."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    for unit, seconds in _UNITS.items():
        number = text.removesuffix(unit)
        if number != text:
            try:
                return float(number) * seconds
            except ValueError:
                continue
    return text


def _address(value: object) -> object:
    return ListenAddress.parse(value) if isinstance(value, str) else value


def _origins(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(map(_origin, value.split(","))) if value.strip() else ()


def _origin(text: str) -> Origin:
    # The text itself is not shown: a mistyped address could contain a password.
    problem = "each server must be scheme, host and port, such as https://storage.example:443"
    try:
        url = URL(text.strip())
        origin = Origin.of(url)
    except ValueError:
        raise ValueError(problem) from None
    if url.user is not None or url.password is not None:
        raise ValueError("must not contain user names or passwords")
    if url.raw_path not in ("", "/") or url.raw_query_string or url.raw_fragment:
        raise ValueError(problem)
    return origin


_IN_SECONDS = BeforeValidator(_seconds)

Duration = Annotated[float, _IN_SECONDS, Field(gt=0, le=_WEEK, allow_inf_nan=False)]
Retention = Annotated[float, _IN_SECONDS, Field(ge=60, le=366 * 86400, allow_inf_nan=False)]
Leeway = Annotated[float, _IN_SECONDS, Field(ge=0, le=300, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=100_000)]
Address = Annotated[ListenAddress, NoDecode, BeforeValidator(_address)]
Origins = Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_origins)]
# Not `Address | None`: NoDecode, which keeps the text from being read as JSON, does not work inside of a union.
OptionalAddress = Annotated[ListenAddress | None, NoDecode, BeforeValidator(_address)]


def placeholder(field: FieldInfo) -> str:
    """What stands for a setting's value in the help of a command: `HOST:PORT`, `json|human`."""
    kind, constraints = _type_and_constraints(field)
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    if kind is float and _IN_SECONDS in constraints:
        return "DURATION"
    if kind in (int, float):
        return "NUMBER"
    if kind is ListenAddress:
        return "HOST:PORT"
    return "FILE" if kind is Path else "TEXT"


def expected_value(field: FieldInfo) -> str:
    """What a setting's value has to be, as a phrase: `a whole number from 1 to 64`."""
    kind, constraints = _type_and_constraints(field)
    if kind is bool:
        return "true or false"
    if get_origin(kind) is Literal:
        *others, last = get_args(kind)
        return f"{', '.join(others)} or {last}"
    if kind is int:
        return f"a whole number {_range(constraints, str)}"
    if kind is float and _IN_SECONDS in constraints:
        return f"a duration {_range(constraints, _as_duration)}, such as 30, 30s, 500ms, 5m, 1h or 2d"
    if kind is float:
        return f"a number {_range(constraints, str)}"
    return "text in UTF-8 that is not empty"


def _type_and_constraints(field: FieldInfo) -> tuple[object, list[object]]:
    """The field's type without `| None`, and everything that `Annotated` and `Field` say of it."""
    kind: object = field.annotation
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (choice for choice in get_args(kind) if choice is not NoneType)
    constraints = list[object](field.metadata)
    if get_origin(kind) is Annotated:
        kind, *more = get_args(kind)
        for item in more:
            constraints += item.metadata if isinstance(item, FieldInfo) else [item]
    return kind, constraints


def _range(constraints: Iterable[object], shown: Callable[[float], str]) -> str:
    """`from 1 to 64`, or `above 0 and at most 64` if the lower bound itself is not allowed."""
    lowest = above = highest = None
    for constraint in constraints:
        match constraint:
            case Ge(ge=int() | float() as bound):
                lowest = shown(bound)
            case Gt(gt=int() | float() as bound):
                above = shown(bound)
            case Le(le=int() | float() as bound):
                highest = shown(bound)
    return f"from {lowest} to {highest}" if above is None else f"above {above} and at most {highest}"


def _as_duration(seconds: float) -> str:
    """The seconds in the largest unit that they are a multiple of: `7d`."""
    for unit, length in reversed(_UNITS.items()):
        if seconds and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}"
