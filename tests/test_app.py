"""`app` builds the gateway, and works without each of its decorators."""

import importlib.util
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import (
    BatchGetManifestsRequest,
    CatalogRequest,
    DeleteBlobRequest,
    DeleteManifestRequest,
    GetManifestRequest,
    ListTagsRequest,
    ResolveManifestRequest,
)
from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from portus_gateway import app
from portus_gateway.devregistry import DevRegistry
from portus_gateway.devregistry.images import image
from portus_gateway.settings import load

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

SOURCE = Path(str(app.__file__))
# `registry = CachedRegistry(registry, …)`, `fresh = access.authorized(fresh)`: what a decorator makes has the name of
# what it decorates.
DECORATION = re.compile(
    r"^ +(?P<name>\w+) = (?:await stack\.enter_async_context\()?(?P<decorator>[\w.]+)\(.*\b(?P=name)\b"
)
DECORATIONS = {
    f"{found['name']} = {found['decorator']}": line
    for line in SOURCE.read_text().splitlines()
    if (found := DECORATION.match(line))
}
HOUR = 3600


@pytest.fixture
async def registry() -> AsyncIterator[DevRegistry]:
    async with DevRegistry() as running:
        yield running


def test_the_decorators_are_found() -> None:
    assert set(DECORATIONS) == {
        "registry = NotedDeletes",
        "registry = CoalescedRegistry",
        "registry = CachedRegistry",
        "registry = ResolvedTags",
        "fresh = FreshRegistry",
        "fresh = access.authorized",
        "registry = access.authorized",
        "deletion = access.audited",
    }


@pytest.fixture(params=[None, *DECORATIONS], ids=str)
def built(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ModuleType]:
    """`app`, without the line of one decorator."""
    left_out = request.param
    source = SOURCE.read_text()
    if left_out is not None:
        line = DECORATIONS[left_out] + "\n"
        assert source.count(line) == 1
        source = source.replace(line, "")
    path = tmp_path / "app_in_parts.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[path.stem]


@asynccontextmanager
async def gateway(built: ModuleType, registry: DevRegistry) -> "AsyncIterator[RegistryServiceAsyncStub]":
    settings = load(
        {
            "registry_url": registry.url,
            "username": registry.username,
            "password": registry.password,
            "token_realm": registry.realm,
            "listen": "127.0.0.1:0",
            "allow_delete": True,
            "audit_log": os.devnull,
        }
    )
    async with (
        built.running(settings) as running,
        grpc.aio.insecure_channel(str(running.address), [("grpc.use_local_subchannel_pool", 1)]) as channel,
    ):
        yield RegistryServiceStub(channel)


async def test_the_gateway_lists_reads_and_deletes_without_any_one_decorator(
    built: ModuleType, registry: DevRegistry
) -> None:
    first = registry.push("team/app", "1.0", content=image("first"))
    registry.push("team/app", "2.0", content=image("second"))
    async with gateway(built, registry) as stub:
        catalog = await stub.Catalog(CatalogRequest(include_tags=True))
        assert [(repository.name, list(repository.tags)) for repository in catalog.repositories] == [
            ("team/app", ["1.0", "2.0"])
        ]
        for staleness in (0, HOUR):
            request = GetManifestRequest(repository="team/app", tag="1.0")
            request.max_staleness.seconds = staleness
            for _ in range(2):
                manifest = (await stub.GetManifest(request)).manifest
                assert manifest.descriptor.digest == first
                assert manifest.raw == image("first").manifest
        batch = BatchGetManifestsRequest(requests=[GetManifestRequest(repository="team/app", tag="1.0")])
        results = [result async for message in stub.BatchGetManifests(batch) for result in message.results]
        assert [result.manifest.descriptor.digest for result in results] == [first]

        # A push by somebody else is seen at once.
        moved = registry.push("team/app", "1.0", content=image("third"))
        assert (await stub.GetManifest(GetManifestRequest(repository="team/app", tag="1.0"))).manifest.raw == image(
            "third"
        ).manifest
        resolved = await stub.ResolveManifest(ResolveManifestRequest(repository="team/app", tag="1.0"))
        assert resolved.descriptor.digest == moved

        tagged = DeleteManifestRequest(repository="team/app", digest=moved)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.DeleteManifest(tagged)
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        deleted = await stub.DeleteManifest(
            DeleteManifestRequest(repository="team/app", digest=moved, expected_tags=["1.0"])
        )
        assert list(deleted.deleted_tags) == ["1.0"]
        assert not registry.holds("team/app", moved)

        # Not from memory either, however old the answer may be.
        gone = GetManifestRequest(repository="team/app", tag="1.0")
        gone.max_staleness.seconds = HOUR
        with pytest.raises(grpc.aio.AioRpcError) as missing:
            await stub.GetManifest(gone)
        assert missing.value.code() is grpc.StatusCode.NOT_FOUND
        assert (await stub.ListTags(ListTagsRequest(repository="team/app"))).tags == ["2.0"]

        blob = DeleteBlobRequest(repository="team/app", digest=next(iter(image("third").blobs)))
        await stub.DeleteBlob(blob)
        with pytest.raises(grpc.aio.AioRpcError) as missing:
            await stub.DeleteBlob(blob)
        assert missing.value.code() is grpc.StatusCode.NOT_FOUND
