"""Records of the audit log as lines of JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

Value = str | int | bool | list[str] | None
Record = Mapping[str, Value]

ATOMIC_SIZE: Final = 4096
"""Bytes that a pipe takes at once (PIPE_BUF of Linux): lines of several processes up to this size do not mix."""

# What identifies the record that a line continues.
_IDENTITY: Final = ("time", "event", "request_id", "caller")
# No text of a record needs more characters. ASCII takes one byte each, others up to twelve in JSON.
_LONGEST_TEXT: Final = 512
_LONGEST_ESCAPED: Final = 600


def lines_of(record: Record, limit: int | None) -> list[bytes]:
    """The record as a line, in ASCII; as several if it is longer than `limit` bytes, of 4096 or more.

    Then long texts are cut. The first line has as many items of the record's lists as fit. The others follow in lines
    with the same time, event, request id and caller and with `continued`.
    """
    line = _line(record)
    if limit is None or len(line) <= limit:
        return [line]
    return list(
        _split({name: _cut(value) if isinstance(value, str) else value for name, value in record.items()}, limit)
    )


def _split(record: Record, limit: int) -> Iterator[bytes]:
    lists = {name: value for name, value in record.items() if isinstance(value, list)}
    part = {name: [] if name in lists else value for name, value in record.items()}
    room = limit - len(_line(part))
    for name, items in lists.items():
        waiting: Sequence[str] = items
        while waiting:
            count = _count_that_fits(waiting, room)
            if count:
                part[name] = [*waiting[:count]]
                room -= sum(map(_size, waiting[:count]))
                waiting = waiting[count:]
            if waiting:
                yield _line(part)
                part = {**{key: record[key] for key in _IDENTITY if key in record}, "continued": True, name: []}
                room = limit - len(_line(part))
    yield _line(part)


def _count_that_fits(items: Sequence[str], room: int) -> int:
    for position, item in enumerate(items):
        room -= _size(item)
        if room < 0:
            return position
    return len(items)


def _size(item: str) -> int:
    """Bytes that an item takes in a list, its comma included."""
    return len(json.dumps(item)) + 1


def _cut(text: str) -> str:
    text = text[:_LONGEST_TEXT] + "…" if len(text) > _LONGEST_TEXT else text
    escaped = len(json.dumps(text))
    if escaped <= _LONGEST_ESCAPED:
        return text
    # Characters that are not ASCII take up to twelve bytes.
    return text[: _LONGEST_ESCAPED // 12] + "…"


def _line(record: Record) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"
