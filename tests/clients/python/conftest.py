from collections.abc import Iterator

import pytest

from tests.clients.python.clients import Client, Open, asynchronous, synchronous
from tests.clients.python.gateway import Gateway


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as serving:
        yield serving


@pytest.fixture(params=[synchronous, asynchronous], ids=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Open]:
    with request.param() as make:
        yield make


@pytest.fixture
def client(connect: Open, gateway: Gateway) -> Client:
    return connect(gateway.address)
