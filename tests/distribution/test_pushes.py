"""Pushes of a small manifest and its blob."""

import asyncio

import pytest
from aiohttp import web

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import Denied, RegistryFault, Unavailable
from tests.distribution.clients import client
from tests.distribution.test_exchange import reset
from tests.distribution.test_manifests import APP, V1
from tests.distribution.upstream import Scripted, Upstream, answer, refusal

BLOB = b"{}"
DIGEST = Digest.of(BLOB)
TYPE = "application/vnd.oci.image.manifest.v1+json"
ABSENT = refusal(404, "BLOB_UNKNOWN")


def begun(location: str) -> web.Response:
    return web.Response(status=202, headers={"Location": location})


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/v2/team/app/blobs/uploads/1", "/v2/team/app/blobs/uploads/1?"),
        ("/v2/team/app/blobs/uploads/1?_state=a%3D", "/v2/team/app/blobs/uploads/1?_state=a%3D&"),
        ("http://elsewhere.example/v2/team/app/blobs/uploads/1?x=1", "/v2/team/app/blobs/uploads/1?x=1&"),
        ("http://elsewhere.example/registry/v2/team/app/blobs/uploads/1", "/v2/team/app/blobs/uploads/1?"),
    ],
)
async def test_a_blob_goes_where_the_registry_says_but_to_no_other_server(
    upstream: Upstream, location: str, target: str
) -> None:
    upstream.script(ABSENT, ABSENT, begun(location), answer(201))
    async with client(upstream.url) as registry:
        await registry.push_blob(APP, BLOB)
    *_, post, put = upstream.requests
    assert (post.method, post.target) == ("POST", "/v2/team/app/blobs/uploads/")
    assert (put.method, put.target) == ("PUT", f"{target}digest={DIGEST}")
    assert put.headers["Content-Length"] == "2"


@pytest.mark.parametrize("location", ["", "/elsewhere", "http://[broken"])
async def test_an_upload_without_a_good_address_is_not_continued(upstream: Upstream, location: str) -> None:
    upstream.script(ABSENT, ABSENT, begun(location))
    async with client(upstream.url) as registry:
        with pytest.raises(RegistryFault, match="no address for an upload"):
            await registry.push_blob(APP, BLOB)
    assert "PUT" not in [request.method for request in upstream.requests]


async def test_a_blob_that_is_there_is_not_pushed(upstream: Upstream) -> None:
    upstream.script(answer(200))
    async with client(upstream.url) as registry:
        await registry.push_blob(APP, BLOB)
    assert [request.method for request in upstream.requests] == ["HEAD"]


async def test_a_manifest_is_pushed_with_its_type(upstream: Upstream) -> None:
    upstream.script(answer(201))
    async with client(upstream.url) as registry:
        await registry.push_manifest(APP, V1, b"a manifest", TYPE)
    (request,) = upstream.requests
    assert (request.method, request.target) == ("PUT", "/v2/team/app/manifests/v1")
    assert (request.headers["Content-Type"], request.headers["Content-Length"]) == (TYPE, "10")


@pytest.mark.parametrize("lost", [reset, answer(503), answer(504)])
async def test_a_push_is_sent_once(upstream: Upstream, lost: Scripted) -> None:
    upstream.script(lost)
    async with client(upstream.url) as registry:
        with pytest.raises(Unavailable) as caught:
            await registry.push_manifest(APP, V1, b"a manifest", TYPE)
    assert caught.value.sent
    assert len(upstream.requests) == 1


async def test_an_account_that_may_not_push(upstream: Upstream) -> None:
    upstream.script(refusal(403, "DENIED"))
    async with client(upstream.url) as registry:
        with pytest.raises(Denied):
            await registry.push_manifest(APP, V1, b"a manifest", TYPE)


async def test_a_push_on_its_way_is_not_broken_off(upstream: Upstream) -> None:
    arrived, go_on, answered = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def held(_: web.Request) -> web.StreamResponse:
        arrived.set()
        await go_on.wait()
        answered.set()
        return answer(201)

    upstream.script(held)
    async with client(upstream.url) as registry:
        pushing = asyncio.create_task(registry.push_manifest(APP, V1, b"a manifest", TYPE))
        await arrived.wait()
        pushing.cancel()
        go_on.set()
        await asyncio.wait([pushing])
    assert answered.is_set()
    assert not pushing.cancelled()
