"""What most tests of this folder start from."""

from collections.abc import AsyncIterator, Iterator, MutableMapping
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from portus_gateway.devregistry import DevRegistry
from tests.rpc.gateways import Gateway, serve_over


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, object]]]:
    """What is logged."""
    with capture_logs() as captured:
        yield captured


@pytest.fixture
def service_config() -> str:
    """The gRPC service config that clients are given."""
    return (Path(__file__).parents[2] / "protos/portus/registry/v1/service_config.json").read_text()


@pytest.fixture
async def registry() -> AsyncIterator[DevRegistry]:
    """An empty registry over HTTP, with token authentication."""
    async with DevRegistry() as running:
        yield running


@pytest.fixture
async def gateway(registry: DevRegistry) -> AsyncIterator[Gateway]:
    """The whole path: gRPC, the Distribution client, and `registry`."""
    async with serve_over(registry) as running:
        yield running
