"""Reads JSON and keeps every member of an object, repeated ones too.

Registries and container runtimes are written in Go. Go's decoder ignores case in the names of members, and of repeated
members the last one counts. Other decoders decide otherwise, so the same document can mean different things. Here
nothing is decided: `JsonObject.members` has all members in their order, and `manifest_fields` looks at the names.

The number of values and the depth are limited, because anybody who may push can write such a document.
"""

import json
import math
import re
from typing import Final, TypeAlias

from portus_gateway.distribution.errors import ContentUnclear

Json: TypeAlias = "bool | int | float | str | list[Json] | JsonObject | None"

MOST_VALUES: Final = 100_000
"""Maximum number of values in a document, including unknown members."""
DEEPEST: Final = 200
"""Maximum depth. Python's decoder fails at about 900 levels, fewer when the call stack is deep."""

# A string without a closing quote matches up to the end of the document. So the search takes linear time.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKETS: Final = b"[]{}"
_ALL_BUT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in _BRACKETS)
# No 64-bit number has more digits.
_MOST_DIGITS: Final = 20


class JsonObject:
    """An object: its members in order, with repeated names."""

    __slots__ = ("members",)

    def __init__(self, members: "list[tuple[str, Json]]") -> None:
        self.members = members


def read_json_object(raw: bytes, document: str) -> JsonObject:
    """Reads `raw`, which errors call `document`. Bytes that are not valid UTF-8 become surrogates in the strings.

    Raises `ContentUnclear` if `raw` is not a JSON object, is nested too deeply or has too many values.
    """
    _check_bounds(raw, document)
    try:
        value: Json = _DECODER.decode(raw.decode(errors="surrogateescape"))
    except ValueError as error:
        raise ContentUnclear(f"{document} is not JSON") from error
    except RecursionError as error:
        raise _too_deep(document) from error
    if not isinstance(value, JsonObject):
        raise ContentUnclear(f"{document} is not a JSON object")
    return value


def _check_bounds(raw: bytes, document: str) -> None:
    """Refuses a document that would take long to read. Takes time in proportion to its size."""
    if raw.count(b"[") + raw.count(b"{") <= DEEPEST and raw.count(b",") < MOST_VALUES:
        # Within the limits, even if none of these characters is inside a string.
        return
    # Bounds the number of strings: the opening quote of each has no backslash before it.
    quotes = raw.count(b'"')
    if quotes - raw.count(b'\\"') > 4 * MOST_VALUES or quotes > 8 * MOST_VALUES:
        raise _too_many_values(document)
    outside = _STRING.sub(b"", raw)
    brackets = outside.translate(None, _ALL_BUT_BRACKETS)
    if outside.count(b",") >= MOST_VALUES or len(brackets) > 2 * MOST_VALUES:
        raise _too_many_values(document)
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket in b"[{" else -1
        if depth > DEEPEST:
            raise _too_deep(document)


def _integer(text: str) -> int | float:
    """A number without a fraction; infinity if it has more digits than any valid one."""
    return int(text) if len(text) <= _MOST_DIGITS else math.inf


def _no_number(text: str) -> Json:
    raise ValueError(f"{text} is not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=JsonObject, parse_int=_integer, parse_constant=_no_number)


def _too_many_values(document: str) -> ContentUnclear:
    return ContentUnclear(
        f"{document} has more than {MOST_VALUES} values: the gateway does not read it", reason="CONTENT_TOO_LARGE"
    )


def _too_deep(document: str) -> ContentUnclear:
    return ContentUnclear(f"{document} is nested more than {DEEPEST} levels deep: the gateway does not read it")
