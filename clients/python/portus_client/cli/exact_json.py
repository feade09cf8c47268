"""JSON that keeps every number as its source writes it, also one that no Python number can hold (`1e999`).

Objects keep their order and repeated keys.
"""

import json
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

# A manifest that nests deeper is shown as text. Real ones have fewer than ten levels.
_MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Number:
    """A number, as the source writes it."""

    text: str


@dataclass(frozen=True, slots=True)
class Object:
    """The members of an object."""

    members: tuple[tuple[str, "ExactJson"], ...]


ExactJson: TypeAlias = "str | bool | Number | list[ExactJson] | Object | None"


def parse(text: str) -> ExactJson:
    """Reads a document. Raises `ValueError` if it is not JSON (RFC 8259) or nests too deeply."""
    try:
        document: ExactJson = json.loads(
            text,
            parse_int=Number,
            parse_float=Number,
            parse_constant=_refuse,
            object_pairs_hook=lambda pairs: Object(tuple(pairs)),
        )
    except RecursionError as error:
        raise ValueError("the document nests too deeply") from error
    level, depth = [document], 0
    while level:
        depth += 1
        if depth > _MAX_DEPTH:
            raise ValueError("the document nests too deeply")
        level = [child for value in level for child in _children(value)]
    return document


def pretty(value: ExactJson, indent: str = "") -> str:
    """The document with two spaces for each level, as `json.dumps(…, indent=2)` writes it."""
    inner = f"{indent}  "
    match value:
        case Object(members) if members:
            lines = [f"{inner}{json.dumps(key)}: {pretty(member, inner)}" for key, member in members]
            return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
        case [_, *_]:
            return "[\n" + ",\n".join(f"{inner}{pretty(item, inner)}" for item in value) + f"\n{indent}]"
        case _:
            return compact(value)


def compact(value: ExactJson) -> str:
    """The document on one line."""
    match value:
        case Number(text):
            return text
        case Object(members):
            return "{" + ", ".join(f"{json.dumps(key)}: {compact(member)}" for key, member in members) + "}"
        case list():
            return "[" + ", ".join(map(compact, value)) + "]"
        case _:
            return json.dumps(value)


def _children(value: ExactJson) -> "list[ExactJson]":
    match value:
        case Object(members):
            return [member for _, member in members]
        case list():
            return value
        case _:
            return []


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
