"""Refuses a request that has too many parts before it is parsed.

A parsed part takes some hundred times the memory of the two bytes that it needs on the wire. So the parts are counted
on the bytes, without making anything of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from google.protobuf.descriptor import Descriptor

from portus_gateway.errors import FieldViolation
from portus_gateway.rpc.call_errors import InvalidFields

MOST_PARTS: Final = 16_000
"""Fields in a request, those of inner messages included. The largest valid batch, of 1000 requests, has fewer."""

# Protocol Buffers, "Encoding", "Message Structure".
_VARINT, _I64, _LEN, _START_GROUP, _END_GROUP, _I32 = range(6)
_FIXED: Final = {_I64: 8, _I32: 4, _START_GROUP: 0, _END_GROUP: 0}
_SMALLEST_PART: Final = 2
_LONGEST_VARINT: Final = 10


@dataclass(frozen=True, slots=True)
class MessageShape:
    """Which fields of a message are messages themselves, by field number."""

    messages: Mapping[int, "MessageShape"]

    @classmethod
    def of(cls, message: Descriptor) -> Self:
        """The shape of a message that does not contain itself."""
        return cls(
            {field.number: cls.of(field.message_type) for field in message.fields if field.message_type is not None}
        )


def check_parts(data: bytes, shape: MessageShape) -> None:
    """Raises `InvalidFields` if the request `data` has more than `MOST_PARTS` fields.

    Bytes that are no message are left to the parser.
    """
    if len(data) > _SMALLEST_PART * MOST_PARTS and count_parts(data, shape, most=MOST_PARTS) is None:
        raise InvalidFields([FieldViolation("request", f"has more than {MOST_PARTS} fields; split it")])


def count_parts(data: bytes, shape: MessageShape, *, most: int) -> int | None:
    """How many fields the message `data` has, those of inner messages included. None if more than `most`."""
    left = _count(data, 0, len(data), shape, most)
    return None if left < 0 else most - left


def _count(data: bytes, position: int, end: int, shape: MessageShape, left: int) -> int:
    """How many of the `left` fields are left after those of the message at `position`; less than 0 if too many."""
    while position < end and left >= 0:
        left -= 1
        tag, position = _varint(data, position, end)
        kind = tag & 7
        if kind == _LEN:
            size, position = _varint(data, position, end)
            inner = shape.messages.get(tag >> 3)
            if inner is not None:
                left = _count(data, position, min(position + size, end), inner, left)
            position += size
        elif kind == _VARINT:
            _, position = _varint(data, position, end)
        else:
            # Not a kind of field: the parser refuses the message.
            position += _FIXED.get(kind, end)
    return left


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """The number at `position`, and the position behind it: `end` if it is not a valid number."""
    value = 0
    for shift in range(0, _LONGEST_VARINT * 7, 7):
        if position >= end:
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    return 0, end
