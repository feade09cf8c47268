"""Holds reads of a SQLite store, and notes which callers ask for one and which get one."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import ParamSpec, TypeVar

import pytest

from portus_gateway.aio.fair_share import owner
from portus_gateway.distribution.adaptive_limit import AdaptiveLimit
from portus_gateway.index.sqlite import SqliteStore
from tests.index.registries import until

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass
class Turns:
    """`asked` are the owners of all reads in the order in which they asked, `looks` those whose reads have begun.

    `most` is how many reads were running at the same time. A read goes on when `go_on` is released once more.
    """

    asked: list[str] = field(default_factory=list)
    looks: list[str] = field(default_factory=list)
    most: int = 0
    go_on: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    _running: int = 0

    async def all_asked(self, number: int) -> None:
        await until(lambda: len(self.asked) == number)

    def hold(self, patch: pytest.MonkeyPatch, user: ModuleType, read: str) -> None:
        """Holds each `read` of the store, for which `user` has an `AdaptiveLimit`."""
        asked = self.asked

        class Noted(AdaptiveLimit):
            async def acquire(self) -> None:
                asked.append(owner())
                await super().acquire()

        patch.setattr(user, "AdaptiveLimit", Noted)
        patch.setattr(SqliteStore, read, self._held(getattr(SqliteStore, read)))

    def _held(self, read: Callable[Arguments, Awaitable[Result]]) -> Callable[Arguments, Awaitable[Result]]:
        async def held(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
            self.looks.append(owner())
            self._running += 1
            self.most = max(self.most, self._running)
            await self.go_on.acquire()
            self._running -= 1
            return await read(*arguments, **named)

        return held
