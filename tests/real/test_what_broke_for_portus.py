"""What broke for users of Portus' registry client, by issue number, over the registry that they ran: 2.8.

A proxy in front of the registry adds the faults. The facts are from Portus' issue tracker.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import aiohttp
import grpc
import pytest
import pytest_asyncio

from portus.registry.v1 import manifest_pb2, registry_service_pb2
from portus_gateway.devregistry import Content, Fault, TokenService, User, artifact, image, multi_platform, raw_manifest
from portus_gateway.distribution import Configuration, Credentials, StaticPassword, Timeouts
from portus_gateway.distribution.challenge import parse_challenges
from tests import programs
from tests.real.backends import DOCKER_REGISTRY, Backend, auth_by_certificate, token_service
from tests.real.fault_proxy import FaultProxy
from tests.real.gateways import Failure, failure_of, gateway_over
from tests.real.image_tools import ImageTools
from tests.real.library import NAMESPACE, Library
from tests.real.registry_process import serving

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.parametrize("kind", [pytest.param(DOCKER_REGISTRY, id=DOCKER_REGISTRY.name)], indirect=True),
]

ALL_ACCEPTED_TYPES = 4
SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"
# `htpasswd -nbB portus correct-horse`
BASIC_PASSWORD = "correct-horse"
BASIC_ENTRY = "portus:$2b$05$abcdefghijklmnopqrstuuZ0Fx87Pb/Aqb0E90lfvCwzXnaFKUHpS\n"


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(backend: Backend) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(backend.url) as served:
        yield served


def through(proxy: FaultProxy, backend: Backend) -> Configuration:
    """How the gateway reaches the registry through the proxy."""
    return replace(backend.configuration(), url=proxy.url)


def challenging_once(challenge: str, method: str | None = None) -> Fault:
    """Answers the first request for a manifest with this challenge."""
    headers = (("WWW-Authenticate", challenge),)
    return Fault(route="manifests", method=method, before_authorization=True, times=1, status=401, headers=headers)


def scopes_asked_for(tokens: TokenService, account: str) -> list[list[str]]:
    """The scopes of each request for a token, as `account` made them."""
    queries = [parse_qs(urlsplit(record.target).query) for record in tokens.requests]
    return [query.get("scope", []) for query in queries if query["account"] == [account]]


def by_tag(repository: str, tag: str) -> registry_service_pb2.GetManifestRequest:
    return registry_service_pb2.GetManifestRequest(repository=repository, tag=tag)


def by_digest(repository: str, digest: str) -> registry_service_pb2.GetManifestRequest:
    return registry_service_pb2.GetManifestRequest(repository=repository, digest=digest)


def deletion(repository: str, digest: str, *, force: bool = False) -> registry_service_pb2.DeleteManifestRequest:
    return registry_service_pb2.DeleteManifestRequest(repository=repository, digest=digest, force=force)


def tags_of(repository: str) -> registry_service_pb2.ListTagsRequest:
    return registry_service_pb2.ListTagsRequest(repository=repository)


def with_tags(prefix: str) -> registry_service_pb2.StreamCatalogRequest:
    return registry_service_pb2.StreamCatalogRequest(include_tags=True, prefix=prefix)


# -- Challenge parsing by splitting on commas ----------------------------------------------------------------------


async def real_challenge(backend: Backend, repository: str) -> str:
    """The registry's own challenge to a push."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{backend.url}/v2/{repository}/blobs/uploads/") as answer,
    ):
        assert answer.status == 401
        return answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("form", ["as it is", "blank after comma", "equals sign in the realm", "lower case", "two"])
async def test_challenge_with_commas_and_worse_is_understood(
    backend: Backend, proxy: FaultProxy, images: ImageTools, repository: str, form: str
) -> None:
    digest = await images.push(repository, "v1", content=image(repository))
    challenge = await real_challenge(backend, repository)
    assert any(f'scope="repository:{repository}:{actions}"' in challenge for actions in ("pull,push", "push,pull"))
    match form:
        case "blank after comma":
            challenge = challenge.replace('",', '", ')
        case "equals sign in the realm":
            challenge = challenge.replace('/token"', '/token?tenant=a=b,c"')
        case "lower case":
            challenge = challenge.replace("Bearer", "bearer")
        case "two":
            challenge = f'Basic realm="the, registry", {challenge}'
    parsed = parse_challenges([challenge])[-1]
    assert (parsed.scheme, parsed.parameters["service"]) == ("bearer", backend.tokens.service)
    assert parsed.parameters["realm"].partition("?")[0] == backend.tokens.realm
    with proxy.inject(challenging_once(challenge)):
        async with gateway_over(through(proxy, backend)) as gateway:
            answer = await gateway.GetManifest(by_tag(repository, "v1"))
    assert answer.manifest.descriptor.digest == digest
    # The scope is sent as one, with its actions in a fixed order.
    assert scopes_asked_for(backend.tokens, backend.tokens.username)[-1] == [f"repository:{repository}:pull,push"]


@pytest.mark.usefixtures("kind")
async def test_a_registry_with_basic_authentication_is_answered(
    tmp_path: Path,
    repository: str,
) -> None:
    passwords = tmp_path / "htpasswd"
    passwords.write_text(BASIC_ENTRY)
    auth = {"htpasswd": {"realm": "a realm, with a comma", "path": str(passwords)}}
    async with serving(programs.docker_registry(), tmp_path / "registry", auth=auth) as registry:
        images = ImageTools.at(registry.authority, User("portus", BASIC_PASSWORD), tmp_path)
        digest = await images.push(repository, "v1", content=image(repository))
        right = Credentials("portus", StaticPassword(BASIC_PASSWORD))
        async with gateway_over(Configuration(url=registry.url, credentials=right)) as gateway:
            assert (await gateway.GetManifest(by_tag(repository, "v1"))).manifest.descriptor.digest == digest
        wrong = Credentials("portus", StaticPassword("battery-staple"))
        async with gateway_over(Configuration(url=registry.url, credentials=wrong)) as gateway:
            failure = await failure_of(gateway.GetManifest(by_tag(repository, "v1")))
    assert failure.kind == (grpc.StatusCode.INTERNAL, "UPSTREAM_CREDENTIALS_REJECTED")
    assert "the gateway's own account" in failure.message
    assert "battery-staple" not in failure.message


async def test_a_401_without_a_challenge_is_an_error_that_says_so(
    backend: Backend, proxy: FaultProxy, repository: str
) -> None:
    fault = Fault(route="manifests", before_authorization=True, without_headers=("WWW-Authenticate",))
    with proxy.inject(fault):
        async with gateway_over(through(proxy, backend)) as gateway:
            failure = await failure_of(gateway.GetManifest(by_tag(repository, "v1")))
    assert failure.kind == (grpc.StatusCode.INTERNAL, "UPSTREAM_CHALLENGE_UNUSABLE")
    assert "WWW-Authenticate" in failure.message


# -- #1232, #1599, #663, #1664: a failure while listing was read as 'no tags', and images were deleted ---------------

STRUCK = f"{NAMESPACE}/book-07"
LISTING_FAILURES = {
    "error": (Fault(route="tags", repository=STRUCK, status=500), "INTERNAL", "UPSTREAM_ERROR"),
    "time-out": (Fault(route="tags", repository=STRUCK, hang=True), "UNAVAILABLE", "UPSTREAM_TIMEOUT"),
    "overload": (Fault(route="tags", repository=STRUCK, status=503), "UNAVAILABLE", "UPSTREAM_UNAVAILABLE"),
    "reset": (Fault(route="tags", repository=STRUCK, reset="after"), "UNAVAILABLE", "UPSTREAM_UNREACHABLE"),
    "half an answer": (Fault(route="tags", repository=STRUCK, truncate=True), "UNAVAILABLE", "UPSTREAM_UNREACHABLE"),
    "another document": (Fault(route="tags", repository=STRUCK, body="{}"), "DATA_LOSS", "UPSTREAM_ANSWER_INVALID"),
    "a proxy's 404": (Fault(route="tags", repository=STRUCK, status=404, body="<html>"), "INTERNAL", "UPSTREAM_ERROR"),
}


@pytest.mark.parametrize(("fault", "code", "reason"), LISTING_FAILURES.values(), ids=LISTING_FAILURES)
async def test_1232_1599_663_1664_a_failure_is_not_an_empty_repository(
    backend: Backend, proxy: FaultProxy, library: Library, fault: Fault, code: str, reason: str
) -> None:
    expected = (grpc.StatusCode[code], reason)
    configuration = replace(through(proxy, backend), timeouts=Timeouts(read=0.5))
    with proxy.inject(fault):
        async with gateway_over(configuration) as gateway:
            streamed = {
                one.name: one
                async for answer in gateway.StreamCatalog(with_tags(f"{NAMESPACE}/"))
                for one in answer.repositories
            }
            alone = await failure_of(gateway.ListTags(tags_of(STRUCK)))
    assert alone.kind == expected
    unknown = streamed.pop(STRUCK)
    assert unknown.HasField("tags_status")
    failure = Failure.of(unknown.tags_status)
    assert failure.kind == expected
    assert failure.resource == f"repository {STRUCK}"
    # One bad repository is its own affair.
    assert not any(repository.HasField("tags_status") for repository in streamed.values())
    assert {name: list(repository.tags) for name, repository in streamed.items()} == {
        name: tags for name, tags in library.tags.items() if name != STRUCK
    }


@pytest.mark.usefixtures("library")
async def test_1232_a_catalog_that_breaks_off_is_not_a_short_catalog(backend: Backend, proxy: FaultProxy) -> None:
    async with gateway_over(through(proxy, backend)) as gateway:
        first = await gateway.Catalog(registry_service_pb2.CatalogRequest(page_size=7))
        with proxy.inject(Fault(route="catalog", status=500)):
            following = registry_service_pb2.CatalogRequest(page_size=7, page_token=first.next_page_token)
            failure = await failure_of(gateway.Catalog(following))
            assert failure.kind == (grpc.StatusCode.INTERNAL, "UPSTREAM_ERROR")
            stream = gateway.StreamCatalog(with_tags(f"{NAMESPACE}/"))
            assert (await failure_of(anext(aiter(stream)))).kind == failure.kind
        # The same page can be had when the registry is well again.
        assert (await gateway.Catalog(following)).repositories


# -- #1933, #2194: an error class nobody caught ended the sync process ----------------------------------------------


@pytest.mark.usefixtures("kind")
async def test_1933_2194_the_gateway_outlives_its_registry(
    tmp_path: Path,
    repository: str,
) -> None:
    folder = tmp_path / "registry"
    folder.mkdir()
    get = by_tag(repository, "v1")
    info = registry_service_pb2.GetRegistryInfoRequest()
    async with token_service() as tokens:
        auth = auth_by_certificate(tokens, folder)
        async with serving(programs.docker_registry(), folder, auth=auth) as registry:
            configuration = Configuration(
                url=registry.url,
                credentials=Credentials(tokens.username, StaticPassword(tokens.password)),
                token_realm=tokens.realm,
            )
            images = ImageTools.at(registry.authority, User(tokens.username, tokens.password), tmp_path)
            digest = await images.push(repository, "v1", content=image(repository))
            port = int(registry.authority.partition(":")[2])
            async with gateway_over(configuration) as gateway:
                assert (await gateway.GetManifest(get)).manifest.descriptor.digest == digest
                await registry.stop()
                failure = await failure_of(gateway.GetManifest(get))
                assert failure.kind == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNREACHABLE")
                stream = gateway.StreamCatalog(with_tags(""))
                assert (await failure_of(anext(aiter(stream)))).kind == failure.kind
                gone = await gateway.GetRegistryInfo(info)
                assert not gone.reachable
                assert Failure.of(gone.registry_status).kind == failure.kind
                async with serving(programs.docker_registry(), folder, auth=auth, port=port):
                    assert (await gateway.GetManifest(get)).manifest.descriptor.digest == digest
                    assert (await gateway.GetRegistryInfo(info)).reachable


ODD_ANSWERS = {
    "not JSON": (Fault(route="manifests", invalid_json=True), "DATA_LOSS", "DIGEST_MISMATCH"),
    "other bytes": (Fault(route="manifests", corrupt=True), "DATA_LOSS", "DIGEST_MISMATCH"),
    "half of it": (Fault(route="manifests", truncate=True), "UNAVAILABLE", "UPSTREAM_UNREACHABLE"),
    "without end": (Fault(route="manifests", endless=True), "DATA_LOSS", "UPSTREAM_ANSWER_TOO_LARGE"),
    "redirect": (Fault(route="manifests", redirect="http://127.0.0.1:9/v2/"), "INTERNAL", "UPSTREAM_ERROR"),
    "tea": (Fault(route="manifests", status=418, body="short and stout"), "INTERNAL", "UPSTREAM_ERROR"),
    "too often": (Fault(route="manifests", status=429), "RESOURCE_EXHAUSTED", "TOOMANYREQUESTS"),
}


@pytest.mark.parametrize(("fault", "code", "reason"), ODD_ANSWERS.values(), ids=ODD_ANSWERS)
async def test_1933_2194_every_odd_answer_is_an_error_of_ours(
    backend: Backend, proxy: FaultProxy, library: Library, fault: Fault, code: str, reason: str
) -> None:
    repository = library.with_many_tags
    # Without a memory: what it holds is not sent again, so that nothing could be wrong with it.
    async with gateway_over(through(proxy, backend), decorated=False) as gateway:
        good = (await gateway.GetManifest(by_tag(repository, "v1"))).manifest
        with proxy.inject(fault):
            failure = await failure_of(gateway.GetManifest(by_digest(repository, good.descriptor.digest)))
        assert failure.kind == (grpc.StatusCode[code], reason)
        assert (await gateway.GetManifest(by_tag(repository, "v1"))).manifest == good


# -- #548, #575, #602, #1001: pagination ----------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shelf(backend: Backend) -> list[str]:
    """More repositories than the 100 of a page of the usual size."""
    names = [f"shelf/box-{number:03}" for number in range(130)]
    box = image("box")
    for name in names:
        backend.plant(name, "latest", box)
    return names


async def test_548_575_602_1001_the_catalog_does_not_end_at_100(
    gateway: "RegistryServiceAsyncStub", shelf: list[str]
) -> None:
    request = registry_service_pb2.StreamCatalogRequest(prefix="shelf/")
    assert [one.name async for answer in gateway.StreamCatalog(request) for one in answer.repositories] == shelf
    found: list[str] = []
    page_token = ""
    while True:
        page = await gateway.Catalog(registry_service_pb2.CatalogRequest(page_token=page_token, prefix="shelf/"))
        found.extend(repository.name for repository in page.repositories)
        page_token = page.next_page_token
        if not page_token:
            break
    assert found == shelf


async def test_548_575_602_1001_a_page_size_that_the_registry_refuses(
    restricted: Backend, tmp_path: Path, repository: str
) -> None:
    images = ImageTools.of(restricted, tmp_path)
    names = [f"{repository}-{number:02}" for number in range(12)]
    await images.push_many("team", {f"{name.removeprefix('team/')}:v1": image("page") for name in names})
    async with FaultProxy(restricted.url) as proxy, gateway_over(through(proxy, restricted)) as gateway:
        request = registry_service_pb2.StreamCatalogRequest(prefix=f"{repository}-")
        assert [one.name async for answer in gateway.StreamCatalog(request) for one in answer.repositories] == names
        # The registry did refuse, and is not asked for as much again.
        refused = proxy.requests.count(route="catalog", status=400)
        assert refused
        await gateway.Catalog(registry_service_pb2.CatalogRequest(page_size=1000))
        assert proxy.requests.count(route="catalog", status=400) == refused


async def test_548_575_602_1001_a_page_without_its_link(backend: Backend, proxy: FaultProxy, library: Library) -> None:
    found: list[str] = []
    page_token = ""
    with proxy.inject(Fault(route="catalog", link="missing")):
        async with gateway_over(through(proxy, backend)) as gateway:
            while True:
                page = await gateway.Catalog(
                    registry_service_pb2.CatalogRequest(page_size=7, page_token=page_token, prefix=f"{NAMESPACE}/")
                )
                found.extend(repository.name for repository in page.repositories)
                page_token = page.next_page_token
                if not page_token:
                    break
    assert found == list(library.tags)


# -- #1402, #1098, #1038, #2335: a delete that is refused or not enabled was 'not found' ----------------------------


async def test_1402_1098_1038_2335_deletion_that_is_switched_off_is_not_absence(
    restricted: Backend, tmp_path: Path, repository: str
) -> None:
    images = ImageTools.of(restricted, tmp_path)
    digest = await images.push(repository, "v1", content=image(repository))
    async with gateway_over(restricted.configuration()) as gateway:
        failure = await failure_of(gateway.DeleteManifest(deletion(repository, digest, force=True)))
        absent = "sha256:" + "0" * 64
        unknown = await failure_of(gateway.DeleteManifest(deletion(repository, absent, force=True)))
    assert failure.kind == (grpc.StatusCode.FAILED_PRECONDITION, "UNSUPPORTED")
    assert "405 UNSUPPORTED" in failure.message
    assert unknown.kind == (grpc.StatusCode.NOT_FOUND, "MANIFEST_UNKNOWN")
    assert await images.holds(repository, digest)


# -- #974: deleting a digest takes every tag on it ------------------------------------------------------------------


async def test_974_a_delete_says_which_tags_go_and_stops(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    digest = await images.push(repository, "v1", "v1.0", "latest", content=image(repository))
    failure = await failure_of(gateway.DeleteManifest(deletion(repository, digest)))
    assert failure.kind == (grpc.StatusCode.FAILED_PRECONDITION, "TAGGED")
    assert failure.violations == ("latest", "v1", "v1.0")
    assert "latest, v1, v1.0" in failure.message
    assert await images.holds(repository, "latest")
    # The registry really takes them all, which is why.
    answer = await gateway.DeleteManifest(deletion(repository, digest, force=True))
    assert list(answer.deleted_tags) == ["latest", "v1", "v1.0"]
    for tag in answer.deleted_tags:
        assert not await images.holds(repository, tag)


# -- #2002: registry 2.7 asks for the delete action instead of * ----------------------------------------------------


async def test_2002_the_scope_of_a_delete_is_the_one_that_the_registry_names(
    backend: Backend, proxy: FaultProxy, images: ImageTools, repository: str
) -> None:
    new = await images.push(repository, "new", content=image("new"))
    old = await images.push(repository, "old", content=image("old"))
    backend.tokens.users.add(User("remover", "pw", ("repository:*:pull,delete",)))
    account = Credentials("remover", StaticPassword("pw"))
    async with gateway_over(replace(through(proxy, backend), credentials=account)) as gateway:
        await gateway.DeleteManifest(deletion(repository, new, force=True))
    assert not await images.holds(repository, new)
    assert scopes_asked_for(backend.tokens, "remover")[-1] == [f"repository:{repository}:delete"]
    # Registry 2.6 asked for the right to everything.
    challenge = (
        f'Bearer realm="{backend.tokens.realm}",service="{backend.tokens.service}",scope="repository:{repository}:*"'
    )
    with proxy.inject(challenging_once(challenge, "DELETE")):
        async with gateway_over(through(proxy, backend)) as gateway:
            await gateway.DeleteManifest(deletion(repository, old, force=True))
    assert not await images.holds(repository, old)
    assert scopes_asked_for(backend.tokens, backend.tokens.username)[-1] == [f"repository:{repository}:*"]


# -- #1813: manifest lists not shown; #2215: sizes that are missing -------------------------------------------------


@pytest.mark.parametrize("form", ["OCI", "Docker"])
async def test_1813_an_index_is_shown(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str, form: str
) -> None:
    content = multi_platform(repository)
    if form == "OCI":
        digest = await images.push(repository, "v1", content=content)
    else:
        digest = await images.push_as_docker(repository, "v1", content=content)
    found = (await gateway.GetManifest(by_tag(repository, "v1"))).manifest
    assert found.descriptor.digest == digest
    assert [child.platform.architecture for child in found.index.manifests] == ["amd64", "arm64"]
    for child in found.index.manifests:
        request = by_tag(repository, "v1")
        request.platform.CopyFrom(manifest_pb2.Platform(os="linux", architecture=child.platform.architecture))
        assert (await gateway.GetManifest(request)).manifest.descriptor.digest == child.digest


OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_HEAD = b'{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"'
_LAYER = b'{"mediaType": "application/octet-stream", "digest": "sha256:' + b"a" * 64 + b'"'
ODD_MANIFESTS: Mapping[str, tuple[Content, int | None]] = {
    "no config": (artifact("application/vnd.example", {"file": b"twelve bytes"}, config=False), 12),
    "neither config nor layers": (artifact("application/vnd.example", config=False), 0),
    "a layer without size": (raw_manifest(_HEAD + b', "layers": [' + _LAYER + b"}]}", OCI_MANIFEST), None),
}


@pytest.mark.parametrize(("content", "total_size"), ODD_MANIFESTS.values(), ids=ODD_MANIFESTS)
async def test_2215_what_a_manifest_lacks_is_unset(
    backend: Backend,
    gateway: "RegistryServiceAsyncStub",
    repository: str,
    content: Content,
    total_size: int | None,
) -> None:
    backend.plant(repository, "v1", content)
    found = (await gateway.GetManifest(by_tag(repository, "v1"))).manifest
    assert found.raw == content.manifest
    assert not found.image.HasField("config")
    assert found.image.image_id == ""
    assert (found.image.total_size if found.image.HasField("total_size") else None) == total_size


# -- #718, #725: without a proper Accept the registry rewrites a manifest -------------------------------------------


async def test_718_725_the_digest_is_the_one_that_can_be_deleted(
    backend: Backend, proxy: FaultProxy, images: ImageTools, repository: str
) -> None:
    digest = await images.push_as_docker(repository, "v1", content=image(repository))
    access: list[dict[str, object]] = [{"type": "repository", "name": repository, "actions": ["pull"]}]
    headers = {"Authorization": f"Bearer {backend.tokens.sign(access)}"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{backend.url}/v2/{repository}/manifests/v1", headers=headers) as rewritten,
    ):
        # What Portus saw.
        assert rewritten.content_type.startswith(SCHEMA_1)
        assert rewritten.headers["Docker-Content-Digest"] != digest
    async with gateway_over(through(proxy, backend)) as gateway:
        found = (await gateway.GetManifest(by_tag(repository, "v1"))).manifest
        assert found.descriptor.digest == digest
        assert found.raw == await images.raw(repository, "v1")
        answer = await gateway.DeleteManifest(deletion(repository, found.descriptor.digest, force=True))
        assert list(answer.deleted_tags) == ["v1"]
    assert not await images.holds(repository, digest)
    reads = [record for record in proxy.requests.select(route="manifests") if record.method != "DELETE"]
    assert reads
    for record in reads:
        assert len(record.headers["accept"].split(",")) == ALL_ACCEPTED_TYPES


# -- #1863, #2174, #1588: slow registries, time-outs; #2312: a proxy from the environment ---------------------------


async def test_1863_2174_1588_a_slow_registry_is_waited_for_as_long_as_the_caller_will(
    backend: Backend, proxy: FaultProxy, library: Library
) -> None:
    get = by_tag(library.with_many_tags, "v1")
    async with gateway_over(through(proxy, backend)) as gateway:
        with proxy.inject(Fault(route="manifests", delay=1.0)):
            assert (await gateway.GetManifest(get, timeout=15)).manifest.raw
        with proxy.inject(Fault(route="manifests", hang=True)):
            # More of them than the gateway makes requests of one registry at a time.
            late = await asyncio.gather(
                *(gateway.GetManifest(get, timeout=0.5) for _ in range(20)), return_exceptions=True
            )
        for error in late:
            assert isinstance(error, grpc.aio.AioRpcError)
            assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        # A caller that gave up does not disturb the next one.
        assert (await gateway.GetManifest(get, timeout=15)).manifest.raw


async def test_1863_2174_1588_a_registry_that_hangs_is_unavailable(
    backend: Backend, proxy: FaultProxy, library: Library
) -> None:
    configuration = replace(through(proxy, backend), timeouts=Timeouts(read=0.5))
    with proxy.inject(Fault(route="manifests", hang=True)):
        async with gateway_over(configuration) as gateway:
            failure = await failure_of(gateway.GetManifest(by_tag(library.with_many_tags, "v1"), timeout=10))
    assert failure.kind == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_TIMEOUT")
    assert proxy.url not in failure.message


async def test_1863_2174_1588_a_delete_with_a_lost_answer_is_checked_afterwards(
    backend: Backend, proxy: FaultProxy, images: ImageTools, repository: str
) -> None:
    digest = await images.push(repository, "v1", content=image(repository))
    async with gateway_over(through(proxy, backend)) as gateway:
        with proxy.inject(Fault(route="manifests", method="DELETE", reset="before")):
            failure = await failure_of(gateway.DeleteManifest(deletion(repository, digest, force=True)))
        assert failure.kind == (grpc.StatusCode.UNAVAILABLE, "DELETE_OUTCOME_UNKNOWN")
        assert await images.holds(repository, digest)
        with proxy.inject(Fault(route="manifests", method="DELETE", reset="after")):
            answer = await gateway.DeleteManifest(deletion(repository, digest, force=True))
    assert list(answer.deleted_tags) == ["v1"]
    assert not await images.holds(repository, digest)
    # One that was answered with a challenge is not in the count: it had no credentials.
    assert proxy.requests.count(route="manifests", method="DELETE", authorization="bearer") == 2


async def test_2312_a_proxy_of_the_environment_is_left_alone(
    backend: Backend, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = by_tag(library.with_many_tags, "v1")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with gateway_over(backend.configuration()) as gateway:
        assert (await gateway.GetManifest(get)).manifest.raw
    async with gateway_over(replace(backend.configuration(), use_environment_proxy=True)) as gateway:
        failure = await failure_of(gateway.GetManifest(get))
    assert failure.kind == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNREACHABLE")


# -- #376, #509, #528, #1730, #523, #800: token 400/401/403 with no hint why ----------------------------------------


async def test_376_509_528_1730_523_800_a_wrong_password_is_the_gateways_own_fault(
    backend: Backend, library: Library
) -> None:
    account = Credentials("portus", StaticPassword("not-the-password"))
    async with gateway_over(replace(backend.configuration(), credentials=account)) as gateway:
        failure = await failure_of(gateway.ListTags(tags_of(library.with_many_tags)))
    assert failure.kind == (grpc.StatusCode.INTERNAL, "UPSTREAM_CREDENTIALS_REJECTED")
    for hint in (
        "the token service refused the gateway's own account (401)",
        f"repository:{library.with_many_tags}:pull",
        "operator has to look",
    ):
        assert hint in failure.message
    for private in ("not-the-password", "'portus'", backend.tokens.realm):
        assert private not in failure.message


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (400, "INTERNAL", "UPSTREAM_ERROR"),
        (403, "INTERNAL", "UPSTREAM_CREDENTIALS_REJECTED"),
        (404, "INTERNAL", "UPSTREAM_ERROR"),
        (503, "UNAVAILABLE", "UPSTREAM_UNAVAILABLE"),
    ],
)
async def test_376_509_528_1730_523_800_a_refusing_token_service_is_named(
    backend: Backend, library: Library, status: int, code: str, reason: str
) -> None:
    with backend.tokens.inject(Fault(route="token", status=status)):
        async with gateway_over(backend.configuration()) as gateway:
            failure = await failure_of(gateway.ListTags(tags_of(library.with_many_tags)))
    assert failure.kind == (grpc.StatusCode[code], reason)
    for hint in ("the token service", str(status), f"repository:{library.with_many_tags}:pull"):
        assert hint in failure.message
    assert backend.tokens.realm not in failure.message


async def test_376_509_528_1730_523_800_a_realm_that_is_not_ours_sees_no_password(
    backend: Backend, library: Library
) -> None:
    seen = backend.tokens.requests.total
    async with gateway_over(replace(backend.configuration(), token_realm=None)) as gateway:
        failure = await failure_of(gateway.ListTags(tags_of(library.with_many_tags)))
    assert failure.kind == (grpc.StatusCode.INTERNAL, "UPSTREAM_REALM_REFUSED")
    assert backend.tokens.realm not in failure.message
    assert "operator has to look" in failure.message
    assert backend.tokens.requests.total == seen


async def test_376_509_528_1730_523_800_a_missing_right_is_named(
    backend: Backend, images: ImageTools, repository: str
) -> None:
    digest = await images.push(repository, "v1", content=image(repository))
    backend.tokens.users.add(User("reader", "pw", ("repository:*:pull", "registry:catalog:*")))
    account = Credentials("reader", StaticPassword("pw"))
    async with gateway_over(replace(backend.configuration(), credentials=account)) as gateway:
        failure = await failure_of(gateway.DeleteManifest(deletion(repository, digest, force=True)))
    assert failure.kind == (grpc.StatusCode.PERMISSION_DENIED, "DENIED")
    assert f"repository:{repository}:delete" in failure.message
    assert "the gateway's account lacks that right" in failure.message
    assert await images.holds(repository, digest)


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("difference", ["service", "issuer", "key"])
async def test_376_509_528_1730_523_800_a_registry_that_does_not_trust_the_token_service(
    tmp_path: Path,
    repository: str,
    difference: str,
) -> None:
    async with token_service() as tokens:
        auth = auth_by_certificate(tokens, tmp_path)
        match difference:
            case "service":
                tokens.service = "another.registry"
            case "issuer":
                tokens.issuer = "another.portus"
            case "key":
                tokens.signing_key = type(tokens.signing_key).generate()
        async with serving(programs.docker_registry(), tmp_path / "registry", auth=auth) as registry:
            configuration = Configuration(
                url=registry.url,
                credentials=Credentials(tokens.username, StaticPassword(tokens.password)),
                token_realm=tokens.realm,
            )
            async with gateway_over(configuration) as gateway:
                failure = await failure_of(gateway.ListTags(tags_of(repository)))
    assert failure.kind == (grpc.StatusCode.PERMISSION_DENIED, "DENIED")
    assert "does not trust the token service (issuer, service or key)" in failure.message
    assert tokens.realm not in failure.message
    # One token, and one more in its place: no loop.
    assert tokens.requests.count(route="token") <= 2


# -- #663: a catalog with tags took minutes -------------------------------------------------------------------------


async def test_663_tags_are_listed_for_many_repositories_at_a_time(
    backend: Backend, proxy: FaultProxy, library: Library
) -> None:
    with proxy.inject(Fault(route="tags", delay=0.1)):
        async with gateway_over(through(proxy, backend)) as gateway:
            stream = gateway.StreamCatalog(with_tags(f"{NAMESPACE}/"))
            names = [one.name async for answer in stream for one in answer.repositories]
    assert names == list(library.tags)
    # As many as the gateway makes of one registry at a time, and no more.
    assert proxy.requests.max_concurrent == 8
    listings = proxy.requests.select(route="tags", status=200)
    # A few more say how the registry marks the end of a list. That is learned once.
    assert len(names) <= len(listings) <= len(names) + 4
