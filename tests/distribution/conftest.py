from collections.abc import AsyncIterator

import pytest

from tests.distribution.upstream import Upstream


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


@pytest.fixture
async def token_service() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server
