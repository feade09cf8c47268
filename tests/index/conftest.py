"""The stores that the conformance suite runs with."""

from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from portus_gateway.index.sql_store import SqlStore
from portus_gateway.index.sqlite import SqliteStore
from tests.index.stores import LIMITS, REGISTRY

OpenStore: TypeAlias = Callable[..., SqlStore]


@pytest.fixture(params=["sqlite"])
def open_store(tmp_path: Path) -> OpenStore:
    """Opens the same empty database each time."""

    def opened(registry: str = REGISTRY, *, keeps: bool = True) -> SqlStore:
        return SqliteStore(tmp_path / "index.db", registry, keeps=keeps, limits=LIMITS)

    return opened


@pytest.fixture
async def store(open_store: OpenStore) -> AsyncGenerator[SqlStore, None]:
    async with open_store() as opened:
        yield opened
