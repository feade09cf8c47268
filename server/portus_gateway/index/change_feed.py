"""Wakes watchers when there are changes: one look at the store for all of them."""

import asyncio
from typing import Final, NoReturn

from portus_gateway.index.store import IndexStore

# How often the store is asked for changes that other processes have written, in seconds.
_INTERVAL: Final = 0.2


class ChangeFeed:
    """Knows the number of the latest change, while somebody waits for the next one."""

    def __init__(self, changed: asyncio.Event) -> None:
        self._changed = changed
        self._waiting: dict[asyncio.Future[None], int] = {}
        self._wanted = asyncio.Event()

    async def wait(self, after: int, seconds: float) -> None:
        """Returns when there may be a change after this number, or when the time is over."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[woken] = after
        self._wanted.set()
        try:
            async with asyncio.timeout(seconds):
                await woken
        except TimeoutError:
            return
        finally:
            del self._waiting[woken]

    async def run(self, store: IndexStore) -> NoReturn:
        """Looks until it is cancelled. Raises `StoreError`."""
        while True:
            if not self._waiting:
                self._wanted.clear()
                await self._wanted.wait()
            self._changed.clear()
            head = (await store.state()).head
            for woken, after in self._waiting.items():
                # A lower number is that of an index that was built anew: its watchers have to know.
                if head != after and not woken.done():
                    woken.set_result(None)
            try:
                async with asyncio.timeout(_INTERVAL):
                    await self._changed.wait()
            except TimeoutError:
                continue
