"""Converts values to messages: large ones on a thread, so that other calls do not wait."""

from collections.abc import Callable
from typing import Final, TypeVar

from portus_gateway.aio.one_thread import OneThread

Message = TypeVar("Message")
Value = TypeVar("Value")

# A value with more entries is converted on the thread.
_MOST_IN_PLACE: Final = 500


class ConversionThread:
    """The thread for large conversions."""

    def __init__(self) -> None:
        self._thread = OneThread("large-responses")

    async def convert(self, conversion: Callable[[Value], Message], value: Value, *, entries: int) -> Message:
        """The result of `conversion`. `entries` is the number of descriptors, annotations and the like in `value`."""
        if entries <= _MOST_IN_PLACE:
            return conversion(value)
        return await self._thread.run(conversion, value)

    def close(self) -> None:
        """Ends the thread."""
        self._thread.close()
