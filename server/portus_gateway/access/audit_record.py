"""Records of the audit log as lines of JSON."""

import json
from collections.abc import Iterator, Mapping
from typing import Final

Value = str | int | bool | list[str] | None
Record = Mapping[str, Value]

ATOMIC_SIZE: Final = 4096
"""Bytes that a pipe takes at once (PIPE_BUF of Linux): lines of several processes up to this size do not mix."""

# What identifies the record that a line continues.
_IDENTITY: Final = ("time", "event", "request_id", "trace_id", "caller")
# No text of a record needs more characters. ASCII takes one byte each, others up to twelve in JSON.
_LONGEST_TEXT: Final = 512
_LONGEST_ESCAPED: Final = 600


def lines_of(record: Record, limit: int | None) -> list[bytes]:
    """The record as a line, in ASCII; as several if it is longer than `limit` bytes, of 4096 or more.

    Then long texts are cut. The first line has as many items of the record's lists as fit. The others follow in lines
    with the same time, event, request id and caller, with `continued`, and with all lists, of which some may be empty.
    An item has at most 128 characters, as a tag has.
    """
    line = _line(record)
    if limit is None or len(line) <= limit:
        return [line]
    return list(
        _split({name: _cut(value) if isinstance(value, str) else value for name, value in record.items()}, limit)
    )


def _split(record: Record, limit: int) -> Iterator[bytes]:
    lists = {name: value for name, value in record.items() if isinstance(value, list)}
    identity = {name: record[name] for name in _IDENTITY if name in record}
    fields: dict[str, Value] = {**record}
    items_in_line: dict[str, list[str]] = {name: [] for name in lists}
    room = limit - len(_line({**fields, **items_in_line}))
    for name, items in lists.items():
        for item in items:
            if _size(item) > room:
                yield _line({**fields, **items_in_line})
                fields = {**identity, "continued": True}
                # All of them: a list that begins in the middle of a line would need room for its name.
                items_in_line = {name: [] for name in lists}
                room = limit - len(_line({**fields, **items_in_line}))
            items_in_line[name].append(item)
            room -= _size(item)
    yield _line({**fields, **items_in_line})


def _size(item: str) -> int:
    """Bytes that an item takes in a list, its comma included."""
    return len(json.dumps(f"{item},"))


def _cut(text: str) -> str:
    text = text[:_LONGEST_TEXT] + "…" if len(text) > _LONGEST_TEXT else text
    escaped = len(json.dumps(text))
    if escaped <= _LONGEST_ESCAPED:
        return text
    # Characters that are not ASCII take up to twelve bytes.
    return text[: _LONGEST_ESCAPED // 12] + "…"


def _line(record: Record) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"
