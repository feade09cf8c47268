from collections.abc import AsyncGenerator

import pytest

from portus_gateway.devregistry import DevRegistry, seed_demo


@pytest.fixture
async def registry() -> AsyncGenerator[DevRegistry, None]:
    async with DevRegistry() as running:
        seed_demo(running)
        yield running


@pytest.fixture
def settings(registry: DevRegistry) -> dict[str, str]:
    """What `portus-gateway serve` has to be told to use the registry."""
    return {
        "PORTUS_REGISTRY_URL": registry.url,
        "PORTUS_PASSWORD": registry.password,
        "PORTUS_TOKEN_REALM": registry.realm,
    }
