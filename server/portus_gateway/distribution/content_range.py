"""The field `Content-Range`: which part of a blob an answer has (RFC 9110, 14.4)."""

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes[ \t]+(?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18}|\*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ContentRange:
    """The bytes from `start` up to `end`, which is not included. `size` is that of the whole; None if not stated."""

    start: int
    end: int
    size: int | None

    @classmethod
    def read(cls, field: str) -> "ContentRange | None":
        """None if the field does not state a range of bytes."""
        found = _RANGE.fullmatch(field.strip())
        if found is None or found[1] is None:
            return None
        start, end, size = int(found[1]), int(found[2]) + 1, None if found[3] == "*" else int(found[3])
        return None if start >= end or (size is not None and end > size) else cls(start, end, size)


def size_without_range(field: str) -> int | None:
    """The size that an answer 416 states: `bytes */1234`. None if it states none."""
    found = _RANGE.fullmatch(field.strip())
    return None if found is None or found[1] is not None or found[3] == "*" else int(found[3])
