"""Wakes watchers when there are changes, and reads the changes: once for all of them.

Without it, each change would cost the store as many reads as there are watchers.
"""

import asyncio
from functools import partial
from typing import Final, NoReturn

from portus_gateway.aio.single_flight import SingleFlight
from portus_gateway.index.store import ChangeRows, IndexState, IndexStore

# How often the store is asked for changes that other processes have written, in seconds.
_INTERVAL: Final = 0.2


class ChangeFeed:
    """Knows the number of the latest change, while somebody waits for the next one."""

    def __init__(self, changed: asyncio.Event) -> None:
        self._changed = changed
        self._waiting: dict[asyncio.Future[None], int] = {}
        self._wanted = asyncio.Event()
        self._latest: IndexState | None = None
        """As of less than an interval ago, while it is not None."""
        # A watcher that joins a read from before a change is woken again by the next look.
        self._reads: SingleFlight[tuple[IndexStore, int], ChangeRows] = SingleFlight(
            "index.changes", joins_running=True
        )

    async def changes(self, store: IndexStore, after: int, most: int) -> ChangeRows:
        """As `IndexStore.changes`, read once for all that ask at the same time. It may be as old as the last look."""
        if self._latest is not None and self._latest.head == after:
            return ChangeRows((), self._latest)
        return await self._reads.run((store, after), partial(store.changes, after, most))

    def wake(self) -> None:
        """Ends all waits."""
        for woken in self._waiting:
            if not woken.done():
                woken.set_result(None)

    async def close(self) -> None:
        """Ends the reads that are running."""
        await self._reads.close()

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
            self._latest = await store.state()
            for woken, after in self._waiting.items():
                # A lower number is that of an index that was built anew: its watchers have to know.
                if self._latest.head != after and not woken.done():
                    woken.set_result(None)
            try:
                async with asyncio.timeout(_INTERVAL):
                    await self._changed.wait()
            except TimeoutError:
                continue
            finally:
                self._latest = None
