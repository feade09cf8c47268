"""Several parts of an answer in one message of a stream."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from google.protobuf.message import Message

MESSAGE_SIZE: Final = 64 * 1024
"""gRPC is fastest with messages of about this size, in bytes."""
FRAME: Final = 6
"""The tag and the length before a part in a message, at most."""

Item = TypeVar("Item")
Part = TypeVar("Part", bound=Message)


def packed(items: Iterable[Item], convert: Callable[[Item], Part]) -> Iterator[list[Part]]:
    """The parts that `convert` makes of `items`, in groups of `MESSAGE_SIZE` at most; a larger part comes alone.

    A part is made when its group, or the one before it, is taken.
    """
    group: list[Part] = []
    size = 0
    for item in items:
        part = convert(item)
        taken = part.ByteSize() + FRAME
        if group and size + taken > MESSAGE_SIZE:
            yield group
            group, size = [], 0
        group.append(part)
        size += taken
    if group:
        yield group
