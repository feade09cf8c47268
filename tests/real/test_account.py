"""Registries that answer strangers, too: what callers get has to be the account's answer all the same."""

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import (
    CatalogRequest,
    GetManifestRequest,
    GetRegistryInfoRequest,
    ListTagsRequest,
)
from portus_gateway.devregistry import User, image
from portus_gateway.distribution import Authentication, Configuration, Credentials, StaticPassword
from tests import programs
from tests.real.backends import DISTRIBUTION, DOCKER_REGISTRY, Backend
from tests.real.gateways import Failure, failure_of, gateway_over
from tests.real.image_tools import ImageTools
from tests.real.open_front import OpenFront
from tests.real.registry_process import serving

pytestmark = pytest.mark.asyncio(loop_scope="session")
real = pytest.mark.parametrize(
    "kind", [pytest.param(kind, id=kind.name) for kind in (DOCKER_REGISTRY, DISTRIBUTION)], indirect=True
)

# `htpasswd -nbB portus correct-horse`
PASSWORD = "correct-horse"
ENTRY = "portus:$2b$05$abcdefghijklmnopqrstuuZ0Fx87Pb/Aqb0E90lfvCwzXnaFKUHpS\n"
BASIC = "Basic " + base64.b64encode(f"portus:{PASSWORD}".encode()).decode()


@real
@pytest.mark.parametrize("authentication", [Authentication.AUTO, Authentication.TOKEN])
async def test_private_repositories_are_there_though_strangers_get_answers(
    backend: Backend, images: ImageTools, repository: str, authentication: Authentication
) -> None:
    digest = await images.push(repository, "v1", content=image(repository))
    await images.push(f"open/{repository}", "v1", content=image(repository))
    async with OpenFront(backend.url, backend.tokens) as front:
        configuration = replace(backend.configuration(), url=front.url, authentication=authentication)
        # The very first call is for what is private.
        async with gateway_over(configuration) as gateway:
            read = await gateway.GetManifest(GetManifestRequest(repository=repository, tag="v1"))
            assert read.manifest.descriptor.digest == digest
        async with gateway_over(configuration) as gateway:
            page = await gateway.Catalog(CatalogRequest(page_size=1000))
            assert {repository, f"open/{repository}"} <= {found.name for found in page.repositories}
            assert not (await gateway.GetRegistryInfo(GetRegistryInfoRequest())).HasField("registry_status")
    if authentication is Authentication.TOKEN:
        carried = {shown for _, path, shown in front.seen if repository in path}
        assert None not in carried


@real
async def test_no_repository_is_open_to_strangers_through_the_token_service(
    backend: Backend, images: ImageTools, repository: str
) -> None:
    await images.push(repository, "v1", content=image(repository))
    async with OpenFront(backend.url, backend.tokens) as front:
        stranger = replace(backend.configuration(), url=front.url, credentials=None)
        async with gateway_over(stranger) as gateway:
            failure = await failure_of(gateway.ListTags(ListTagsRequest(repository=repository)))
    # What the gateway would tell its callers without its account.
    assert failure.kind == (grpc.StatusCode.NOT_FOUND, "NAME_UNKNOWN")


@pytest.mark.parametrize("program", [programs.docker_registry, programs.distribution])
@pytest.mark.parametrize("authentication", [Authentication.AUTO, Authentication.BASIC])
async def test_basic_behind_a_proxy_that_answers_the_version_check_itself(
    tmp_path: Path, repository: str, program: Callable[[], str], authentication: Authentication
) -> None:
    passwords = tmp_path / "htpasswd"
    passwords.write_text(ENTRY)
    auth = {"htpasswd": {"realm": "registry", "path": str(passwords)}}
    async with (
        serving(program(), tmp_path / "registry", auth=auth) as registry,
        OpenFront(registry.url) as front,
    ):
        images = ImageTools.at(registry.authority, User("portus", PASSWORD), tmp_path)
        await images.push(repository, "v1", content=image(repository))

        def configured(password: str) -> Configuration:
            account = Credentials("portus", StaticPassword(password))
            return Configuration(url=front.url, credentials=account, authentication=authentication)

        async with gateway_over(configured(PASSWORD)) as gateway:
            assert not (await gateway.GetRegistryInfo(GetRegistryInfoRequest())).HasField("registry_status")
            page = await gateway.Catalog(CatalogRequest())
            assert repository in {found.name for found in page.repositories}
        if authentication is Authentication.BASIC:
            assert {shown for _, _, shown in front.seen} == {BASIC}
        async with gateway_over(configured("wrong")) as gateway:
            failure = await failure_of(gateway.ListTags(ListTagsRequest(repository=repository)))
    assert failure.kind == (grpc.StatusCode.INTERNAL, "UPSTREAM_CREDENTIALS_REJECTED")


async def test_a_registry_that_never_asks_for_the_account_is_reported(tmp_path: Path) -> None:
    async with serving(programs.docker_registry(), tmp_path / "registry", auth=None) as registry:
        account = Credentials("portus", StaticPassword(PASSWORD))
        async with gateway_over(Configuration(url=registry.url, credentials=account)) as gateway:
            info = await gateway.GetRegistryInfo(GetRegistryInfoRequest())
    assert info.reachable
    assert Failure.of(info.registry_status).kind == (grpc.StatusCode.FAILED_PRECONDITION, "ACCOUNT_NOT_ASKED_FOR")
