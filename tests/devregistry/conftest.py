from collections.abc import AsyncIterator

import aiohttp
import pytest

from portus_gateway.devregistry import DevRegistry
from tests.devregistry.http_client import HttpClient


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20), auto_decompress=False) as session:
        yield HttpClient(session)


@pytest.fixture
async def registry() -> AsyncIterator[DevRegistry]:
    """Behaves like 3.1. Open to everybody, since these tests are about the API behind the token."""
    async with DevRegistry(auth="anonymous") as registry:
        yield registry


@pytest.fixture
async def registry_2_8() -> AsyncIterator[DevRegistry]:
    async with DevRegistry(auth="anonymous", flavour="2.8") as registry:
        yield registry


@pytest.fixture
async def oci() -> AsyncIterator[DevRegistry]:
    """Follows the OCI distribution specification 1.1."""
    async with DevRegistry(auth="anonymous", flavour="oci-1.1") as registry:
        yield registry


@pytest.fixture
async def guarded() -> AsyncIterator[DevRegistry]:
    """With its token service."""
    async with DevRegistry() as registry:
        yield registry
