"""Reads a blob piece by piece. A download that breaks is continued where it broke."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from portus_gateway.aio import deadline
from portus_gateway.distribution.configuration import RetryPolicy
from portus_gateway.distribution.content_range import ContentRange, size_without_range
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import DigestMismatch, RangeInvalid, Unavailable, Unreachable, UntrustedAnswer
from portus_gateway.distribution.exchange import Answer
from portus_gateway.distribution.failures import failure
from portus_gateway.distribution.open_body import OpenBody
from portus_gateway.distribution.retry import Backoff

# Chunks have this size in bytes, except for the last one.
_CHUNK: Final = 256 * 1024
# After this many bytes without a break, the next break counts as the first one again.
_PROGRESS: Final = 1024 * 1024
_LARGEST: Final = 2**53


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a blob: at most `limit` bytes from the position `offset` on. `limit` None: up to the end."""

    offset: int = 0
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.offset < 0 or (self.limit is not None and self.limit < 1):
            raise ValueError("a part begins at 0 or later and has at least one byte")

    @property
    def end(self) -> int | None:
        """Position after the last byte. None: the end of the blob."""
        return None if self.limit is None else self.offset + self.limit


Ask = Callable[[str, str], Awaitable[Answer]]
"""Sends a request for the blob, by its method and the field `Range`. The answer to a GET is opened in an `OpenBody`."""


class Download:
    """One blob, or a part of it, on its way from the registry.

    `begin` has to be called once, then `chunks`. Not more than a chunk and a buffer are in memory.
    """

    def __init__(self, ask: Ask, body: OpenBody, digest: Digest, part: Part, retries: RetryPolicy, action: str) -> None:
        self._ask = ask
        self._body = body
        self._digest = digest
        self._retries = retries
        self._action = action
        self._offset = part.offset
        self._position = part.offset
        """Of the next byte that the reader gets."""
        self._end = part.end
        """Position after the last byte that the reader gets. None if it is not known."""
        self._skip = 0
        """How many bytes come before that one, because the registry ignores `Range`."""
        self._more_may_follow = False
        """Whether the current answer is a part of what was asked for, and nothing says where the blob ends."""
        self._is_paused = False
        self.size: int | None = None
        """Of the whole blob in bytes. None if the registry does not say it."""

    async def begin(self) -> None:
        """Asks for the blob. Raises `NotFound`, `RangeInvalid`, `RedirectRefused`, `UntrustedAnswer`, `Unavailable`."""
        await self._open()

    def pause(self) -> None:
        """Gives the connection back. The next chunk is asked for over a new one. Not while a chunk is being read."""
        self._is_paused = True
        self._body.close()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The bytes, in chunks of 256 KiB; the last one may be smaller. None of them is empty.

        A broken download continues where it broke, as often as the retry policy allows without progress. Raises
        `Unavailable` if it does not, and `DigestMismatch` at the end if these are all bytes of the blob and they are
        not those of the digest.
        """
        actual = hashlib.new(self._digest.algorithm) if self._offset == 0 else None
        backoff, received, ended = Backoff(self._retries), 0, False
        while not self._is_complete:
            try:
                if self._is_paused:
                    self._is_paused = False
                    await self._open()
                chunk = await self._next()
            except Unavailable:
                if received >= _PROGRESS:
                    backoff, received = Backoff(self._retries), 0
                pause = backoff.next_pause()
                if pause is None or not deadline.allows(pause):
                    raise
                await asyncio.sleep(pause)
                await self._open()
                continue
            if not chunk:
                ended = True
                break
            self._position += len(chunk)
            received += len(chunk)
            if actual is not None:
                actual.update(chunk)
            yield chunk
        self._body.close()
        if actual is not None and (ended or self._position == self.size):
            self._verify(f"{self._digest.algorithm}:{actual.hexdigest()}")

    @property
    def _is_complete(self) -> bool:
        return self._end is not None and self._position >= self._end

    def _verify(self, actual: str) -> None:
        if actual != self._digest.text:
            raise DigestMismatch(expected=self._digest.text, actual=actual)

    async def _next(self) -> bytes:
        """The next chunk. Empty at the end of a blob whose size is not known."""
        while self._skip:
            skipped = await self._body.read(min(_CHUNK, self._skip))
            if not skipped:
                raise self._cut_short()
            self._skip -= len(skipped)
        wanted = _CHUNK if self._end is None else min(_CHUNK, self._end - self._position)
        parts: list[bytes] = []
        size = 0
        try:
            while size < wanted and (part := await self._body.read(wanted - size)):
                parts.append(part)
                size += len(part)
        except Unavailable:
            # What came before the break is right so far. The next read meets the break again.
            if not parts:
                raise
        if not parts and (self.size is not None or self._more_may_follow):
            raise self._cut_short()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _cut_short(self) -> Unreachable:
        return Unreachable(f"{self._action}: the registry's answer ended before it was complete")

    async def _open(self) -> None:
        """Asks for what is missing."""
        self._skip = 0
        self._more_may_follow = False
        asked = self._range()
        answer = await self._ask("GET", asked)
        match answer.status:
            case 200:
                # The answer is the whole blob: all of it was asked for, or the registry ignores `Range`.
                size = _content_length(answer)
                self._knows(await self._size() if size is None else size)
                self._skip = self._position
            case 206 if asked:
                await self._began_in_range(answer)
            case 416 if asked:
                await self._refused_range(answer, asked)
            case 206:
                raise UntrustedAnswer(f"{self._action}: the registry sent a part where all of it was asked for")
            case _:
                raise failure(answer, self._action)

    def _range(self) -> str:
        if self._position == 0 and self._end is None:
            return ""
        # Registries refuse numbers that are too large for them, and no blob is that large.
        end = "" if self._end is None or self._end > _LARGEST else self._end - 1
        return f"bytes={self._position}-{end}"

    async def _began_in_range(self, answer: Answer) -> None:
        stated = ContentRange.read(answer.headers.get("Content-Range", ""))
        if stated is None or stated.start != self._position or (self._end is not None and stated.end > self._end):
            raise UntrustedAnswer(f"{self._action}: the registry did not send the range that it was asked for")
        length = _content_length(answer)
        if length is not None and length != stated.end - stated.start:
            raise UntrustedAnswer(f"{self._action}: the registry stated a range and a length that do not agree")
        size = stated.size
        if size is None and self.size is None:
            size = await self._size()
        self._knows(size)
        # A registry may send less than was asked for. The next request shows whether this was the end of the blob.
        self._more_may_follow = self.size is None and (self._end is None or stated.end < self._end)

    async def _refused_range(self, refusal: Answer, asked: str) -> None:
        """The registry has no byte in the range, or wants both ends of it, as that of go-containerregistry does."""
        size = size_without_range(refusal.headers.get("Content-Range", ""))
        if size is None:
            size = await self._size()
        if size is None and self._position > self._offset:
            # Something came from before this position, and nothing is at it.
            size = self._position
        self._knows(size)
        if size == self._position:
            return
        if size is None or self._range() == asked:
            raise failure(refusal, self._action)
        # The end is known now.
        await self._open()

    async def _size(self) -> int | None:
        """The size that the registry states when it is asked for the whole blob (HEAD). None if it states none."""
        head = await self._ask("HEAD", "")
        return _content_length(head) if head.status == 200 else None

    def _knows(self, size: int | None) -> None:
        if size is None:
            return
        if self.size is not None and self.size != size:
            raise UntrustedAnswer(f"{self._action}: the registry stated two sizes: {self.size} and {size} bytes")
        if self._position > size:
            raise RangeInvalid(f"{self._action}: the offset {self._position} is behind its end; it has {size} bytes")
        self.size = size
        self._end = size if self._end is None else min(self._end, size)


def _content_length(answer: Answer) -> int | None:
    text = answer.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
