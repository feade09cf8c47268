"""Blobs in memory, as a `Registry` opens them."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from portus_gateway.registry.protocol import Part


@dataclass(frozen=True)
class BlobInMemory:
    """A part of `content`, in chunks of `chunk` bytes."""

    content: bytes
    part: Part
    chunk: int = 64 * 1024

    @property
    def size(self) -> int | None:
        return len(self.content)

    def pause(self) -> None:
        """It takes nothing."""

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        wanted = self.content[self.part.offset : self.part.end]
        for start in range(0, len(wanted), self.chunk):
            yield wanted[start : start + self.chunk]
