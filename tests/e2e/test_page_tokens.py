"""Page tokens from one replica of a gateway to another, and after a change of keys."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import CatalogRequest
from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from portus_gateway import app
from portus_gateway.devregistry import DevRegistry
from portus_gateway.settings import InvalidSettings, load

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

NAMES = [f"team/app{number}" for number in range(10)]


@pytest.fixture
async def registry() -> AsyncIterator[DevRegistry]:
    async with DevRegistry() as served:
        served.push_many(NAMES)
        yield served


@asynccontextmanager
async def replica(registry: DevRegistry, **settings: str | bool) -> "AsyncIterator[RegistryServiceAsyncStub]":
    settings = {"username": registry.username, "password": registry.password, **settings}
    common = {"registry_url": registry.url, "token_realm": registry.realm, "listen": "127.0.0.1:0"}
    async with (
        app.running(load({**common, **settings, "audit_log": os.devnull})) as gateway,
        grpc.aio.insecure_channel(str(gateway.address), [("grpc.use_local_subchannel_pool", 1)]) as channel,
    ):
        yield RegistryServiceStub(channel)


async def token_of(stub: "RegistryServiceAsyncStub") -> str:
    page = await stub.Catalog(CatalogRequest(page_size=4))
    assert [repository.name for repository in page.repositories] == NAMES[:4]
    return page.next_page_token


async def accepts(stub: "RegistryServiceAsyncStub", token: str) -> bool:
    try:
        page = await stub.Catalog(CatalogRequest(page_size=10, page_token=token))
    except grpc.aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.INVALID_ARGUMENT:
            raise
        return False
    assert [repository.name for repository in page.repositories] == NAMES[4:]
    return True


async def test_replicas_with_the_same_password_accept_each_others_tokens(registry: DevRegistry) -> None:
    async with replica(registry) as one, replica(registry) as other:
        assert await accepts(other, await token_of(one))
        assert await accepts(one, await token_of(other))


async def test_a_new_password_ends_the_tokens_of_the_old_one(registry: DevRegistry, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text(registry.password)
    async with replica(registry, password="", password_file=str(path)) as stub:
        token = await token_of(stub)
        assert await accepts(stub, token)
        # The registry's token is still good; only the account's password has changed.
        path.write_text("another password")
        assert not await accepts(stub, token)


async def test_a_key_file_is_rotated_without_an_invalid_token(registry: DevRegistry, tmp_path: Path) -> None:
    old, new = "o" * 32, "n" * 32
    files = [tmp_path / str(number) for number in range(4)]
    for path, keys in zip(files, ([old], [old, new], [new, old], [new]), strict=True):
        path.write_text("\n".join(keys))
    for before, after in pairwise(files):
        async with (
            replica(registry, page_token_key_file=str(before)) as one,
            replica(registry, page_token_key_file=str(after)) as other,
        ):
            assert await accepts(other, await token_of(one))
            assert await accepts(one, await token_of(other))
    async with (
        replica(registry, page_token_key_file=str(files[0])) as one,
        replica(registry, page_token_key_file=str(files[3])) as other,
    ):
        assert not await accepts(other, await token_of(one))


async def test_a_key_file_that_cannot_be_used_is_reported_at_the_start(registry: DevRegistry, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("short")
    with pytest.raises(InvalidSettings, match=r"PORTUS_PAGE_TOKEN_KEY_FILE.*at least 32"):
        async with replica(registry, page_token_key_file=str(path)):
            pass
