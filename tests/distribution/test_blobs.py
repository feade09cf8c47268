"""Blobs: what is fetched is what was asked for, and never by more than the gateway bears."""

import pytest
from aiohttp import web

from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.configuration import MANIFEST_LIMIT
from portus_gateway.distribution.errors import (
    AnswerTooLarge,
    Denied,
    DigestMismatch,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    RedirectRefused,
    RegistryFault,
    Unavailable,
)
from tests.distribution.clients import PORTUS, client
from tests.distribution.test_manifests import APP, RAW, SHA256
from tests.distribution.upstream import Upstream, answer, basic_challenge, refusal


async def test_a_blob_is_there_also_when_its_storage_is_elsewhere(upstream: Upstream) -> None:
    async with Upstream() as storage:
        upstream.script(answer(307, Location=f"{storage.url}/signed"), answer(200), refusal(404, "BLOB_UNKNOWN"))
        async with client(upstream.url) as registry:
            assert await registry.blob_exists(APP, SHA256)
            assert await registry.blob_exists(APP, SHA256)
            assert not await registry.blob_exists(APP, SHA256)
        assert not storage.requests


async def test_a_blob_of_an_unknown_repository(upstream: Upstream) -> None:
    upstream.script(refusal(404, "NAME_UNKNOWN"))
    async with client(upstream.url) as registry:
        with pytest.raises(NotFound) as caught:
            await registry.blob_exists(APP, SHA256)
    assert caught.value.reason == "NAME_UNKNOWN"


async def test_a_blob_is_read_and_verified(upstream: Upstream) -> None:
    upstream.script(answer(200, RAW), answer(200, b"other"), refusal(404, "BLOB_UNKNOWN"))
    async with client(upstream.url) as registry:
        assert await registry.get_blob(APP, SHA256) == RAW
        with pytest.raises(DigestMismatch):
            await registry.get_blob(APP, SHA256)
        with pytest.raises(NotFound):
            await registry.get_blob(APP, SHA256)
    assert upstream.requests[0].target == f"/v2/team/app/blobs/{SHA256}"
    assert upstream.requests[0].headers["Accept"] == "*/*"


async def test_a_blob_is_read_up_to_the_size_of_manifests(upstream: Upstream) -> None:
    upstream.script(answer(200, b"x" * (MANIFEST_LIMIT + 1)))
    async with client(upstream.url) as registry:
        with pytest.raises(AnswerTooLarge):
            await registry.get_blob(APP, SHA256)


async def test_a_blob_in_the_registrys_storage_is_fetched_there_without_any_credential(upstream: Upstream) -> None:
    async def redirect(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") is None:
            return basic_challenge()
        return answer(307, Location=f"http://user:secret@127.0.0.1:{storage.port}/signed?a=b%2Fc#f")

    async with Upstream() as storage:
        upstream.script(redirect)
        # Its challenge is not answered, and what it sends is checked like what the registry sends.
        storage.script(answer(302, Location="/further"), answer(200, RAW), basic_challenge(), answer(200, b"other"))
        async with client(upstream.url, credentials=PORTUS, blob_origins=[storage.url]) as registry:
            assert await registry.get_blob(APP, SHA256) == RAW
            with pytest.raises(Denied) as denied:
                await registry.get_blob(APP, SHA256)
            with pytest.raises(DigestMismatch):
                await registry.get_blob(APP, SHA256)
        assert [seen.target for seen in storage.requests] == ["/signed?a=b%2Fc", "/further", *["/signed?a=b%2Fc"] * 2]
        assert [seen.authorization for seen in storage.requests] == [None] * 4
    assert "secret" not in str(denied.value)


@pytest.mark.parametrize("steps", [0, 1], ids=["by the registry", "by its storage"])
async def test_a_redirect_to_an_origin_that_is_not_allowed_is_refused(upstream: Upstream, steps: int) -> None:
    async with Upstream() as storage, Upstream() as other:
        elsewhere = answer(307, Location=f"http://user:secret@127.0.0.1:{other.port}/signed?key=secret")
        upstream.script(answer(307, Location=f"{storage.url}/signed") if steps else elsewhere)
        storage.script(elsewhere)
        async with client(upstream.url, credentials=PORTUS, blob_origins=[storage.url]) as registry:
            with pytest.raises(RedirectRefused) as refused:
                await registry.get_blob(APP, SHA256)
        assert not other.requests
        assert len(storage.requests) == steps
    assert refused.value.reason == "REDIRECT_REFUSED"
    assert refused.value.concern is Concern.BLOB_ORIGINS
    assert refused.value.operator_detail == f"to http://127.0.0.1:{other.port}"
    assert "127.0.0.1" not in str(refused.value)


async def test_a_blob_may_be_redirected_within_the_registry(upstream: Upstream) -> None:
    upstream.script(answer(307, Location="/elsewhere"), answer(200, RAW))
    async with client(upstream.url) as registry:
        assert await registry.get_blob(APP, SHA256) == RAW
    assert [seen.target for seen in upstream.requests] == [f"/v2/team/app/blobs/{SHA256}", "/elsewhere"]


async def test_a_blob_from_the_storage_is_bounded_in_size(upstream: Upstream) -> None:
    async with Upstream() as storage:
        upstream.script(answer(307, Location=f"{storage.url}/signed"))
        storage.script(answer(200, b"x" * (MANIFEST_LIMIT + 1)))
        async with client(upstream.url, blob_origins=[storage.url]) as registry:
            with pytest.raises(AnswerTooLarge):
                await registry.get_blob(APP, SHA256)


@pytest.mark.parametrize("location", ["", "ftp://elsewhere.test/", "//", "http://"])
async def test_a_redirect_to_nowhere_is_not_followed(upstream: Upstream, location: str) -> None:
    upstream.script(answer(307, Location=location))
    async with client(upstream.url, credentials=PORTUS) as registry:
        with pytest.raises(RegistryFault):
            await registry.get_blob(APP, SHA256)


async def test_a_storage_that_redirects_for_ever_is_given_up(upstream: Upstream) -> None:
    async with Upstream() as storage:
        upstream.script(answer(307, Location=f"{storage.url}/again"))
        storage.script(answer(307, Location="/again"))
        async with client(upstream.url, blob_origins=[storage.url]) as registry:
            with pytest.raises(RegistryFault, match="more than 5 times"):
                await registry.get_blob(APP, SHA256)
        assert len(storage.requests) == 5


async def test_a_blob_that_a_get_finds_is_there_however_large(upstream: Upstream) -> None:
    async def no_heads(request: web.Request) -> web.StreamResponse:
        return answer(404) if request.method == "HEAD" else answer(200, b"x" * 200_000)

    upstream.script(no_heads)
    async with client(upstream.url) as registry:
        assert await registry.blob_exists(APP, SHA256)


@pytest.mark.parametrize("status", [400, 404, 451])
async def test_a_refused_head_is_looked_into_with_a_get(upstream: Upstream, status: int) -> None:
    upstream.script(answer(status), refusal(404, "BLOB_UNKNOWN"), answer(status), answer(200, RAW))
    async with client(upstream.url) as registry:
        assert not await registry.blob_exists(APP, SHA256)
        assert await registry.blob_exists(APP, SHA256)
    assert [seen.method for seen in upstream.requests] == ["HEAD", "GET"] * 2


@pytest.mark.parametrize(("status", "error"), [(403, Denied), (400, InvalidRequest), (409, PreconditionFailed)])
async def test_only_a_404_says_that_there_is_no_blob(upstream: Upstream, status: int, error: type[Exception]) -> None:
    upstream.script(answer(status), refusal(status, "BLOB_UNKNOWN"))
    async with client(upstream.url) as registry:
        with pytest.raises(error):
            await registry.blob_exists(APP, SHA256)


async def test_a_head_that_fails_says_nothing_about_the_blob(upstream: Upstream) -> None:
    upstream.script(answer(500))
    async with client(upstream.url) as registry:
        with pytest.raises((RegistryFault, Unavailable)):
            await registry.blob_exists(APP, SHA256)
    assert {seen.method for seen in upstream.requests} == {"HEAD"}


@pytest.mark.parametrize("status", [302, 303, 307, 308])
async def test_a_blob_that_is_kept_elsewhere_is_there(upstream: Upstream, status: int) -> None:
    upstream.script(answer(status, Location="https://storage.test/x"))
    async with client(upstream.url) as registry:
        assert await registry.blob_exists(APP, SHA256)
