"""The referrers API of a registry, as scripted answers."""

import json

import pytest
from aiohttp import web

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import Denied, DistributionError, RegistryFault, Unavailable, UntrustedAnswer
from portus_gateway.distribution.names import Repository
from tests.distribution.clients import client
from tests.distribution.upstream import Upstream, answer, refusal

APP = Repository("team/app")
SUBJECT = Digest.of(b"an image")
PATH = f"/v2/team/app/referrers/{SUBJECT}"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


def index(*names: str) -> str:
    manifests = [
        {"mediaType": MANIFEST_TYPE, "digest": Digest.of(name.encode()).text, "size": 1, "artifactType": f"text/{name}"}
        for name in names
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests})


async def test_pages_follow_the_registrys_links(upstream: Upstream) -> None:
    upstream.script(answer(200, index("a", "b"), Link=f'<{PATH}?last=b>; rel="next"'), answer(200, index("c")))
    async with client(upstream.url) as registry:
        first = await registry.list_referrers(APP, SUBJECT, "", "")
        assert first is not None
        second = await registry.list_referrers(APP, SUBJECT, "", first.next_query)
        assert second is not None
    assert [each.artifact_type for each in (*first.referrers, *second.referrers)] == ["text/a", "text/b", "text/c"]
    assert (first.next_query, second.next_query) == ("last=b", "")
    assert [seen.target for seen in upstream.requests] == [PATH, f"{PATH}?last=b"]
    assert upstream.requests[0].headers["Accept"] == INDEX_TYPE


async def test_the_registry_is_asked_to_filter(upstream: Upstream) -> None:
    upstream.script(answer(200, index("a"), Link=f'<{PATH}?artifactType=a%2Fb%2Bc&n=1>; rel="next"'))
    async with client(upstream.url) as registry:
        page = await registry.list_referrers(APP, SUBJECT, "a/b+c", "")
        assert page is not None
        assert page.next_query == "artifactType=a%2Fb%2Bc&n=1"
    assert upstream.requests[0].query == "artifactType=a%2Fb%2Bc"


async def test_each_digest_occurs_once(upstream: Upstream) -> None:
    upstream.script(answer(200, index("a", "b", "a")))
    async with client(upstream.url) as registry:
        page = await registry.list_referrers(APP, SUBJECT, "", "")
    assert page is not None
    assert len(page.referrers) == 2


@pytest.mark.parametrize(
    "scripted",
    [
        answer(404, "404 page not found\n"),
        refusal(404, "NAME_UNKNOWN"),
        refusal(405, "UNSUPPORTED"),
        answer(405),
        answer(501),
        refusal(400, "UNSUPPORTED"),
    ],
)
async def test_a_registry_without_the_api(upstream: Upstream, scripted: web.Response) -> None:
    upstream.script(scripted)
    async with client(upstream.url) as registry:
        assert await registry.list_referrers(APP, SUBJECT, "", "") is None


@pytest.mark.parametrize(
    ("scripted", "expected"),
    [
        (refusal(403, "DENIED"), Denied),
        (answer(400, "bad"), RegistryFault),
        (answer(500), RegistryFault),
        (answer(503), Unavailable),
        (answer(302, Location="http://elsewhere.test/"), RegistryFault),
        (answer(200, ""), UntrustedAnswer),
        (answer(200, "<html>"), UntrustedAnswer),
        (answer(200, '{"schemaVersion": 2}'), UntrustedAnswer),
        (answer(200, index("a").replace('"size": 1', '"size": -1')), UntrustedAnswer),
        (answer(200, index("a").replace('"manifests"', '"Manifests"')), UntrustedAnswer),
        (answer(200, index("a"), Link=f'<{PATH}>; rel="next"'), RegistryFault),
        (answer(200, index("a"), Link='</v2/other?last=b>; rel="next"'), RegistryFault),
    ],
)
async def test_an_error_is_no_empty_page(
    upstream: Upstream, scripted: web.Response, expected: type[DistributionError]
) -> None:
    upstream.script(scripted)
    async with client(upstream.url) as registry:
        with pytest.raises(expected):
            await registry.list_referrers(APP, SUBJECT, "", "")


async def test_a_link_to_the_same_page_is_not_followed(upstream: Upstream) -> None:
    upstream.script(answer(200, index("a"), Link=f'<{PATH}?last=a>; rel="next"'))
    async with client(upstream.url) as registry:
        with pytest.raises(RegistryFault, match="same page"):
            await registry.list_referrers(APP, SUBJECT, "", "last=a")
