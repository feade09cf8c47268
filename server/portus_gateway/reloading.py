"""Files that are loaded again while the gateway runs: when they change, and on SIGHUP."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

import structlog

_log = structlog.get_logger(__name__)


class ReloadedFile(Protocol):
    """A file that can be loaded again (`access.reloaded_file`)."""

    @property
    def problems(self) -> tuple[str, ...]: ...

    @property
    def expires(self) -> bool: ...

    @property
    def failing(self) -> bool: ...

    @property
    def loads(self) -> int: ...

    @property
    def failures(self) -> int: ...

    async def watch(self, looked: Callable[[], None]) -> NoReturn: ...

    async def reload(self) -> object: ...


@dataclass(slots=True)
class ReloadedFiles:
    """The files of one gateway, each by the name of its setting."""

    files: Mapping[str, ReloadedFile]
    _listeners: list[Callable[[bool], None]] = field(default_factory=list)
    _told: bool = True

    @property
    def usable(self) -> bool:
        """Whether every file whose content expires can be read, or could be when it was last looked at."""
        return not any(file.failing and file.expires for file in self.files.values())

    def when_usable_changes(self, listener: Callable[[bool], None]) -> None:
        """Calls `listener` with `usable` whenever that changes."""
        self._listeners.append(listener)

    @asynccontextmanager
    async def kept_up_to_date(self) -> AsyncGenerator[None, None]:
        """Looks at the files for as long as the block runs."""
        tasks: list[asyncio.Task[None]] = [
            asyncio.create_task(file.watch(self._looked)) for file in self.files.values()
        ]
        hang_up = asyncio.Event()
        tasks.append(asyncio.create_task(self._reload_on(hang_up)))
        try:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hang_up.set)
        except (RuntimeError, ValueError):
            # Not the main thread: a gateway inside somebody's test. Its files are watched all the same.
            _log.debug("SIGHUP reloads files in the main thread only")
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _reload_on(self, hang_up: asyncio.Event) -> NoReturn:
        while True:
            await hang_up.wait()
            hang_up.clear()
            _log.info("SIGHUP: loading files again", files=len(self.files))
            for file in self.files.values():
                await file.reload()
            self._looked()

    def _looked(self) -> None:
        usable = self.usable
        if usable is not self._told:
            self._told = usable
            for listener in self._listeners:
                listener(usable)
