"""A file of access control that may change while the gateway runs."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, NoReturn, TypeVar

import structlog

from portus_gateway.access.errors import InvalidAccessFile
from portus_gateway.access.watched_file import WatchedFile, reason

Content = TypeVar("Content")

LOOK_INTERVAL: Final = 5.0
"""How often a file is looked at, in seconds."""
_LIMIT: Final = 1024 * 1024
# A changed file is read when it has stayed the same for so many seconds, or after so many looks at it.
_QUIET: Final = 0.25
_MOST_LOOKS: Final = 20
_REMINDER: Final = 60.0
_log = structlog.get_logger(__name__)


class ReloadedFile(Generic[Content]):
    """What `parse` makes of the file at `path`, which may have 1 MiB; `parse` raises `InvalidAccessFile`.

    A new file that is not valid, or cannot be read, does not replace the old content. With `trusted_for`, the old
    content is used for at most so many seconds after that (`trusted`), so that a revocation in a damaged file takes
    effect after a limited time. Raises `InvalidAccessFile` if there is no valid file to begin with.
    """

    def __init__(
        self,
        path: Path,
        parse: Callable[[bytes, str], Content],
        *,
        trusted_for: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = WatchedFile(path, _LIMIT)
        self._parse = parse
        self._trusted_for = trusted_for
        self._clock = clock
        self._content = self._read()
        self._problems: tuple[str, ...] = ()
        self._failing_since: float | None = None
        self._reminded_at = 0.0
        self._failures = 0
        self._loads = 1
        # The latest read must win.
        self._reading = asyncio.Lock()

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def content(self) -> Content:
        """The content in force."""
        return self._content

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the file as it is now, so that an older one is in force. Empty if all is well."""
        return self._problems

    @property
    def trusted(self) -> bool:
        """Whether `content` may be used: False if the file has been unusable for longer than `trusted_for`."""
        if self._failing_since is None or self._trusted_for is None:
            return True
        return self._clock() - self._failing_since <= self._trusted_for

    @property
    def expires(self) -> bool:
        """Whether `trusted` ends at some time while the file stays unusable."""
        return self._trusted_for is not None

    @property
    def failing(self) -> bool:
        """Whether the file could not be used when it was last looked at."""
        return self._failing_since is not None

    @property
    def loads(self) -> int:
        """How often the file was loaded, the first time included."""
        return self._loads

    @property
    def failures(self) -> int:
        """How often a changed file could not be loaded."""
        return self._failures

    async def reload(self) -> bool:
        """Reads the file again. Returns False for a file that is not valid: the old content stays in force."""
        async with self._reading:
            try:
                content = await asyncio.to_thread(self._read)
            except InvalidAccessFile as error:
                self._fail(error)
                return False
            self._content, self._problems, self._failing_since = content, (), None
            self._loads += 1
        _log.info("loaded", path=str(self.path))
        return True

    async def reload_if_changed(self) -> None:
        """Reads the file again if it has changed since it was last read, or could not be loaded then."""
        # After a mount was gone for a while, its files look unchanged.
        if self._failing_since is not None or await asyncio.to_thread(self._file.changed):
            await self.reload()

    async def watch(self, looked: Callable[[], None] = lambda: None, *, interval: float = LOOK_INTERVAL) -> NoReturn:
        """Loads the file again whenever it changes; looks every `interval` seconds, until it is cancelled.

        Calls `looked` after each look.
        """
        while True:
            await asyncio.sleep(interval)
            await self._written(min(_QUIET, interval))
            await self.reload_if_changed()
            looked()

    async def _written(self, quiet: float) -> None:
        """Waits while somebody writes the file. A part of it may be valid: a policy without its last rules."""
        if not await asyncio.to_thread(self._file.changed):
            return
        for _ in range(_MOST_LOOKS):
            signature = await asyncio.to_thread(self._file.signature)
            await _pause(quiet)
            if await asyncio.to_thread(self._file.signature) == signature:
                return

    def _fail(self, error: InvalidAccessFile) -> None:
        now = self._clock()
        if self._failing_since is None:
            self._failing_since = now
        if error.problems == self._problems and now - self._reminded_at < _REMINDER:
            return
        self._failures += error.problems != self._problems
        self._problems, self._reminded_at = error.problems, now
        until = {} if self._trusted_for is None else {"trusted_for": self._failing_since + self._trusted_for - now}
        _log.error(
            "the new file is not valid and was not taken: the old one stays in force",
            path=error.path,
            problems=list(error.problems),
            **{name: round(max(0.0, seconds)) for name, seconds in until.items()},
        )

    def _read(self) -> Content:
        path = str(self.path)
        try:
            content = self._file.read()
        except (OSError, ValueError) as error:
            raise InvalidAccessFile(path, [f"cannot be read: {reason(error)}"]) from error
        return self._parse(content, path)


async def _pause(seconds: float) -> None:
    await asyncio.sleep(seconds)
