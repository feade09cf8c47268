"""JSON as Go's decoder reads it, made safe against whoever wrote the document.

Registries and container runtimes are written in Go. Its decoder takes a member whose name differs only in case from the
one it looks for, takes members twice (the last one counts), replaces invalid UTF-8, and ignores what it does not know.
Python's decoder differs in all of that. So this one keeps every member as it stands, and leaves the decision to whoever
looks for a name (`JsonObject.members`).

The number of values and the depth are bounded, because a document comes from whoever may push.
"""

import json
import math
import re
from typing import Final, TypeAlias

from portus_gateway.distribution.errors import ContentUnclear

Json: TypeAlias = "bool | int | float | str | list[Json] | JsonObject | None"

MOST_VALUES: Final = 100_000
"""How many values a document may have, those in unknown members included."""
DEEPEST: Final = 200
"""How deep values may be nested. Python's decoder gives up at some 900 levels, depending on who calls it."""

# Every opening quote begins a match, and a string without an end reaches to the end: so the time is linear.
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


def read_json_object(raw: bytes) -> JsonObject:
    """The object that `raw` is. A string that is not valid Unicode has surrogates in it.

    Raises `ContentUnclear` where it is no JSON object, is nested too deeply or has too many values.
    """
    _check_bounds(raw)
    try:
        value: Json = _DECODER.decode(raw.decode(errors="surrogateescape"))
    except ValueError as error:
        raise ContentUnclear("the manifest is not JSON") from error
    except RecursionError as error:
        raise _too_deep() from error
    if not isinstance(value, JsonObject):
        raise ContentUnclear("the manifest is not a JSON object")
    return value


def _check_bounds(raw: bytes) -> None:
    """Refuses what would take long to read, in time that is proportional to the size."""
    if raw.count(b"[") + raw.count(b"{") <= DEEPEST and raw.count(b",") < MOST_VALUES:
        # Even if none of these were inside of a string.
        return
    # A string has two quotes, of which the first has no backslash before it; and there may be quotes inside.
    quotes = raw.count(b'"')
    if quotes - raw.count(b'\\"') > 4 * MOST_VALUES or quotes > 8 * MOST_VALUES:
        raise _too_many_values()
    outside = _STRING.sub(b"", raw)
    brackets = outside.translate(None, _ALL_BUT_BRACKETS)
    if outside.count(b",") >= MOST_VALUES or len(brackets) > 2 * MOST_VALUES:
        raise _too_many_values()
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket in b"[{" else -1
        if depth > DEEPEST:
            raise _too_deep()


def _integer(text: str) -> int | float:
    """A number without a fraction. A larger one than any that is looked for is infinite."""
    return int(text) if len(text) <= _MOST_DIGITS else math.inf


def _no_number(text: str) -> Json:
    raise ValueError(f"{text} is not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=JsonObject, parse_int=_integer, parse_constant=_no_number)


def _too_many_values() -> ContentUnclear:
    return ContentUnclear(
        f"the manifest has more than {MOST_VALUES} values: the gateway does not read it", reason="CONTENT_TOO_LARGE"
    )


def _too_deep() -> ContentUnclear:
    return ContentUnclear(f"the manifest is nested more than {DEEPEST} levels deep: the gateway does not read it")
