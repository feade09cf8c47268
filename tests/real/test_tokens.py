"""Tokens that expire between calls."""

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from portus.registry.v1 import registry_service_pb2
from portus_gateway.devregistry import Fault, image
from tests.real.backends import GO_CONTAINERREGISTRY, Backend
from tests.real.gateways import gateway_over
from tests.real.image_tools import ImageTools
from tests.real.library import NAMESPACE, Library

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Registries accept a token for 60 seconds after its end, so they refuse these tokens when they are two seconds old.
_SHORT = Fault(route="token", token_lifetime=-58)


async def all_tokens_ended(backend: Backend) -> None:
    """Returns when the registry refuses all short-lived tokens that were issued before this call."""
    access: list[dict[str, object]] = [{"type": "registry", "name": "catalog", "actions": ["*"]}]
    headers = {"Authorization": f"Bearer {backend.tokens.sign(access, lifetime=_SHORT.token_lifetime)}"}
    async with asyncio.timeout(10), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{backend.url}/v2/_catalog?n=1", headers=headers) as answer:
                if answer.status == 401:
                    return
                assert answer.status == 200
            await asyncio.sleep(0.05)  # nothing but the clock ends a token


def tokens_for(backend: Backend, repository: str) -> int:
    """The number of tokens for the repository that the gateway asked for."""
    queries = (parse_qs(urlsplit(record.target).query) for record in backend.tokens.requests)
    return sum(
        query["account"] == [backend.tokens.username]
        and any(scope.startswith(f"repository:{repository}:") for scope in query.get("scope", ()))
        for query in queries
    )


@pytest.mark.not_over(GO_CONTAINERREGISTRY, reason="it has no authentication")
async def test_calls_continue_when_tokens_expire(
    backend: Backend, library: Library, images: ImageTools, repository: str
) -> None:
    digests = [await images.push(repository, tag, content=image(tag)) for tag in ("v1", "v2")]
    listed: dict[str, list[str]] = {}
    page_token = ""

    async def work(gateway: "RegistryServiceAsyncStub", tag: str, digest: str) -> None:
        """Lists a part of the catalog, reads a manifest, deletes it."""
        nonlocal page_token
        page = await gateway.Catalog(
            registry_service_pb2.CatalogRequest(
                page_size=1000 if page_token else 5, page_token=page_token, include_tags=True, prefix=f"{NAMESPACE}/"
            )
        )
        assert not any(found.HasField("tags_status") for found in page.repositories)
        listed.update((found.name, list(found.tags)) for found in page.repositories)
        page_token = page.next_page_token
        read = await gateway.GetManifest(registry_service_pb2.GetManifestRequest(repository=repository, tag=tag))
        assert read.manifest.descriptor.digest == digest
        deleted = await gateway.DeleteManifest(
            registry_service_pb2.DeleteManifestRequest(repository=repository, digest=digest, expected_tags=[tag])
        )
        assert list(deleted.deleted_tags) == [tag]

    async with gateway_over(backend.configuration()) as gateway:
        with backend.tokens.inject(_SHORT):
            await work(gateway, "v1", digests[0])
            assert page_token
            issued = tokens_for(backend, repository)
            await all_tokens_ended(backend)
            await work(gateway, "v2", digests[1])
        # One more for reading and one more for deleting: each refusal is answered once.
        assert tokens_for(backend, repository) == issued + 2
    assert not page_token
    assert listed == library.tags
