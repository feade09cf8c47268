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
    _listeners: list[Callable[[tuple[str, ...]], None]] = field(default_factory=list)
    _told: tuple[str, ...] = ()

    @property
    def unusable(self) -> tuple[str, ...]:
        """The settings whose file could not be read when it was last looked at, if its content expires."""
        return tuple(setting for setting, file in self.files.items() if file.failing and file.expires)

    def when_unusable_changes(self, listener: Callable[[tuple[str, ...]], None]) -> None:
        """Calls `listener` with `unusable` whenever that changes."""
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
        unusable = self.unusable
        if unusable != self._told:
            self._told = unusable
            for listener in self._listeners:
                listener(unusable)
