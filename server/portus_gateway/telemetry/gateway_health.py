"""Whether the gateway can serve its callers, and if not, why not."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final

STOPPING: Final = "the gateway is stopping"


class GatewayHealth:
    """The problems of each part that the gateway needs. Without a problem, it is ready.

    `changed` is called with `ready` whenever a problem comes or goes.
    """

    def __init__(self, changed: Callable[[bool], None]) -> None:
        self._changed = changed
        self._problems: dict[str, str] = {}
        self._stopping = False
        self._change = asyncio.Event()

    @property
    def problems(self) -> tuple[str, ...]:
        """What prevents the gateway from serving, in words for the operator. Empty if it is ready."""
        return (STOPPING,) if self._stopping else tuple(self._problems.values())

    @property
    def ready(self) -> bool:
        return not self.problems

    def set(self, part: str, problem: str) -> None:
        """Says what the problem of `part` is. An empty text means that there is none."""
        if problem == self._problems.get(part, ""):
            return
        if problem:
            self._problems[part] = problem
        else:
            del self._problems[part]
        self._tell()

    def stop(self) -> None:
        """Not ready from now on, because the gateway stops."""
        self._stopping = True
        self._tell()

    async def changes(self) -> AsyncGenerator[tuple[str, ...], None]:
        """The problems now, and after each change. Changes that nobody reads in time are skipped, except the last."""
        while True:
            change = self._change
            yield self.problems
            await change.wait()

    def _tell(self) -> None:
        self._changed(self.ready)
        self._change.set()
        self._change = asyncio.Event()
