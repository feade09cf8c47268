"""A file of settings that may change while the gateway runs. A bad new one never takes the place of a good one."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Generic, NoReturn, TypeVar

import structlog

from portus_gateway.access.errors import InvalidAccessFile
from portus_gateway.access.watched_file import WatchedFile

Content = TypeVar("Content")

_LIMIT = 1024 * 1024
_log = structlog.get_logger(__name__)


class ReloadedFile(Generic[Content]):
    """What `parse` makes of the file at `path` (and raises `InvalidAccessFile` for). It has at most 1 MiB.

    Raises `InvalidAccessFile` where there is no valid file to begin with.
    """

    def __init__(self, path: Path, parse: Callable[[bytes, str], Content]) -> None:
        self._file = WatchedFile(path, _LIMIT)
        self._parse = parse
        self._content = self._read()
        self._problems: tuple[str, ...] = ()
        # What was read last has to be what is taken last.
        self._reading = asyncio.Lock()

    @property
    def content(self) -> Content:
        """What is in force."""
        return self._content

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the file as it is now, so that an older one is in force; empty when all is well."""
        return self._problems

    async def reload(self) -> bool:
        """Reads the file again. Answers False where the new one is no good: the old one stays in force."""
        async with self._reading:
            try:
                content = await asyncio.to_thread(self._read)
            except InvalidAccessFile as error:
                self._problems = error.problems
                _log.error(
                    "the new file is not valid and was not taken: the old one stays in force",
                    path=error.path,
                    problems=list(error.problems),
                )
                return False
            self._content, self._problems = content, ()
        _log.info("loaded", path=str(self._file.path))
        return True

    async def reload_if_changed(self) -> None:
        """Reads the file again if it is another than the one last read."""
        if await asyncio.to_thread(self._file.changed):
            await self.reload()

    async def watch(self, interval: float = 5.0) -> NoReturn:
        """Loads the file again whenever it changes; looks every `interval` seconds, until it is cancelled."""
        while True:
            await asyncio.sleep(interval)
            await self.reload_if_changed()

    def _read(self) -> Content:
        path = str(self._file.path)
        try:
            content = self._file.read()
        except (OSError, ValueError) as error:
            raise InvalidAccessFile(path, [f"cannot be read: {error}"]) from error
        return self._parse(content, path)
