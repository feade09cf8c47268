"""Manifests: what is fetched is what was asked for."""

import asyncio
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from portus_gateway.aio.deadline import within
from portus_gateway.distribution import Configuration, Digest, DistributionClient, Image, Repository, Tag, Timeouts
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.errors import (
    AnswerTooLarge,
    DigestMismatch,
    DistributionError,
    NotFound,
    RegistryFault,
    Unavailable,
    Unsupported,
    UntrustedAnswer,
)
from portus_gateway.distribution.manifest import MANIFEST_MEDIA_TYPES, OCI_INDEX, OCI_MANIFEST
from portus_gateway.distribution.reference import Reference
from tests.distribution.clients import PASSWORD, PORTUS, client
from tests.distribution.upstream import Upstream, answer, basic_challenge, refusal

APP = Repository("team/app")
V1 = Tag("v1")
RAW = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []}, indent=3).encode()
SHA256 = Digest.of(RAW)
SHA512 = Digest.of(RAW, "sha512")
OTHER = Digest.of(b"other")


def manifest(
    raw: bytes = RAW, *, announced: Digest | str | None = SHA256, media_type: str = OCI_MANIFEST
) -> web.Response:
    fields = {"Docker_Content_Digest": str(announced)} if announced else {}
    return answer(200, raw, Content_Type=media_type, **fields)


@pytest.mark.parametrize(
    ("reference", "announced", "expected"),
    [
        (V1, SHA256, SHA256),
        (V1, SHA512, SHA512),
        (V1, None, SHA256),
        (SHA256, SHA256, SHA256),
        (SHA256, None, SHA256),
        (SHA512, SHA512, SHA512),
        # The registry stores it under another algorithm than we asked by: the bytes are those that we asked for.
        (SHA512, SHA256, SHA512),
        (SHA256, OTHER, SHA256),
    ],
)
async def test_the_bytes_are_those_of_the_digest(
    upstream: Upstream, reference: Reference, announced: Digest | None, expected: Digest
) -> None:
    upstream.script(manifest(announced=announced))
    async with client(upstream.url) as registry:
        got = await registry.get_manifest(APP, reference)
    assert got.raw == RAW
    assert (got.descriptor.digest, got.descriptor.size) == (expected, len(RAW))
    assert isinstance(got.content, Image)


@pytest.mark.parametrize(
    ("reference", "announced", "error"),
    [
        (V1, OTHER, DigestMismatch),
        (OTHER, OTHER, DigestMismatch),
        (OTHER, SHA256, DigestMismatch),
        (OTHER, None, DigestMismatch),
        (V1, "sha256:zz", UntrustedAnswer),
        (V1, "blake3:" + "a" * 64, UntrustedAnswer),
    ],
)
async def test_other_bytes_are_never_passed_on(
    upstream: Upstream, reference: Reference, announced: Digest | str | None, error: type[DistributionError]
) -> None:
    upstream.script(manifest(announced=announced))
    async with client(upstream.url) as registry:
        with pytest.raises(error) as caught:
            await registry.get_manifest(APP, reference)
    assert type(caught.value) is error


async def test_all_four_types_are_accepted_and_the_path_is_as_it_stands(upstream: Upstream) -> None:
    upstream.script(manifest())
    async with client(upstream.url) as registry:
        await registry.get_manifest(APP, SHA256)
        await registry.resolve_manifest(APP, V1)
    get, head = upstream.requests
    assert get.target == f"/v2/team/app/manifests/{SHA256}"
    assert (head.method, head.target) == ("HEAD", "/v2/team/app/manifests/v1")
    for request in (get, head):
        assert set(request.headers["Accept"].split(", ")) == set(MANIFEST_MEDIA_TYPES)


async def test_a_manifest_of_the_largest_size_and_one_byte_more(upstream: Upstream) -> None:
    largest = b'{"schemaVersion": 2, "a": "' + b"x" * (4 * 2**20 - 29) + b'"}'
    assert len(largest) == 4 * 2**20
    upstream.script(manifest(largest, announced=None), manifest(largest + b" ", announced=None))
    async with client(upstream.url) as registry:
        assert len((await registry.get_manifest(APP, V1)).raw) == 4 * 2**20
        with pytest.raises(AnswerTooLarge):
            await registry.get_manifest(APP, V1)


async def test_a_manifest_of_schema_1_is_said_to_be_one(upstream: Upstream) -> None:
    upstream.script(manifest(announced=OTHER, media_type="application/vnd.docker.distribution.manifest.v1+prettyjws"))
    async with client(upstream.url) as registry:
        with pytest.raises(Unsupported) as caught:
            await registry.get_manifest(APP, V1)
    assert caught.value.reason == "SCHEMA_1"


async def test_what_a_tag_points_to(upstream: Upstream) -> None:
    upstream.script(manifest(media_type=f"{OCI_MANIFEST}; charset=utf-8"))
    async with client(upstream.url) as registry:
        descriptor = await registry.resolve_manifest(APP, V1)
    assert (descriptor.digest, descriptor.media_type, descriptor.size) == (SHA256, OCI_MANIFEST, len(RAW))
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("head", [answer(200), answer(405), answer(404)])
async def test_a_head_that_leaves_it_open_is_followed_by_a_get(upstream: Upstream, head: web.Response) -> None:
    upstream.script(head, manifest())
    async with client(upstream.url) as registry:
        assert (await registry.resolve_manifest(APP, V1)).digest == SHA256
    assert [request.method for request in upstream.requests] == ["HEAD", "GET"]


INDEX = b'{"schemaVersion":2,"manifests":[]}'


@pytest.mark.parametrize("media_type", ["text/plain", "application/json", "application/octet-stream"])
@pytest.mark.parametrize("announced", [Digest.of(INDEX), None])
async def test_an_index_of_a_generic_type_is_one_for_both_requests(
    upstream: Upstream, media_type: str, announced: Digest | None
) -> None:
    upstream.script(*[manifest(INDEX, announced=announced, media_type=media_type)] * 3)
    async with client(upstream.url) as registry:
        resolved = await registry.resolve_manifest(APP, V1)
        got = await registry.get_manifest(APP, V1)
    assert resolved == got.descriptor
    assert (got.kind, got.descriptor.media_type) == ("index", OCI_INDEX)
    # A HEAD does not say what it is.
    assert [request.method for request in upstream.requests] == ["HEAD", "GET", "GET"]


async def test_ambiguous_content_has_the_registrys_type_in_get_and_head(upstream: Upstream) -> None:
    both = b'{"config":{},"layers":[],"manifests":[]}'
    upstream.script(*[manifest(both, announced=Digest.of(both), media_type="text/plain")] * 3)
    async with client(upstream.url) as registry:
        resolved = await registry.resolve_manifest(APP, V1)
        got = await registry.get_manifest(APP, V1)
    assert resolved == got.descriptor
    assert got.descriptor.media_type == "text/plain"
    assert got.problem is not None
    assert (got.kind, got.problem.reason) == (None, "CONTENT_AMBIGUOUS")


async def test_a_length_of_0_in_a_head_is_no_size(upstream: Upstream) -> None:
    upstream.script(answer(200, b"", Content_Type=OCI_MANIFEST, Docker_Content_Digest=str(SHA256), Content_Length="0"))
    async with client(upstream.url) as registry:
        resolved = await registry.resolve_manifest(APP, V1)
    assert (resolved.digest, resolved.size) == (SHA256, None)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("size", [100, 100_000])
async def test_right_bytes_are_passed_on_whatever_they_say_and_wrong_ones_never(upstream: Upstream, size: int) -> None:
    # Of either size: small ones are read in place, others on a thread.
    raw = b'{"annotations":{"a":"caf\xe9"}}'.ljust(size)
    upstream.script(manifest(raw, announced=Digest.of(raw)), manifest(raw[:-1], announced=Digest.of(raw)))
    async with client(upstream.url) as registry:
        got = await registry.get_manifest(APP, V1)
        with pytest.raises(DigestMismatch):
            await registry.get_manifest(APP, V1)
    assert (got.raw, got.content) == (raw, None)
    assert got.problem is not None
    assert got.problem.reason == "CONTENT_INVALID"


@pytest.mark.parametrize(("size", "elsewhere"), [(1000, False), (100_000, True)])
async def test_a_large_manifest_is_read_on_another_thread(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch, size: int, elsewhere: bool
) -> None:
    threads: list[int] = []
    verify = Digest.verify

    def observed(digest: Digest, content: bytes) -> None:
        threads.append(threading.get_ident())
        verify(digest, content)

    monkeypatch.setattr(Digest, "verify", observed)
    raw = RAW.ljust(size)
    upstream.script(manifest(raw, announced=Digest.of(raw)))
    async with client(upstream.url) as registry:
        await registry.get_manifest(APP, V1)
    assert [thread != threading.get_ident() for thread in threads] == [elsewhere]


@pytest.mark.parametrize("code", ["MANIFEST_UNKNOWN", "NAME_UNKNOWN"])
async def test_what_is_not_there_is_named(upstream: Upstream, code: str) -> None:
    upstream.script(refusal(404, code))
    async with client(upstream.url) as registry:
        with pytest.raises(NotFound) as caught:
            await registry.resolve_manifest(APP, V1)
    assert caught.value.reason == code
    assert "team/app:v1" in str(caught.value)


async def test_a_404_that_is_not_the_registrys_is_not_absence(upstream: Upstream) -> None:
    upstream.script(answer(404, "<html>nginx</html>"))
    async with client(upstream.url) as registry:
        with pytest.raises(RegistryFault):
            await registry.resolve_manifest(APP, V1)
        with pytest.raises(RegistryFault):
            await registry.blob_exists(APP, SHA256)


async def test_a_head_that_announces_another_digest_than_asked_for(upstream: Upstream) -> None:
    upstream.script(manifest())
    async with client(upstream.url) as registry:
        with pytest.raises(UntrustedAnswer):
            await registry.resolve_manifest(APP, OTHER)


async def test_a_page_that_is_no_manifest_is_not_taken_for_one_that_exists(upstream: Upstream) -> None:
    upstream.script(*(answer(200, "<html>Log in</html>", Content_Type="text/html") for _ in range(2)))
    async with client(upstream.url) as registry:
        with pytest.raises(DigestMismatch):
            await registry.resolve_manifest(APP, SHA256)
    assert [request.method for request in upstream.requests] == ["HEAD", "GET"]


async def test_what_is_known_is_asked_after_and_not_sent_again(upstream: Upstream) -> None:
    upstream.script(manifest(), answer(304, b""), manifest(RAW + b" ", announced=Digest.of(RAW + b" ")))
    async with client(upstream.url) as registry:
        known = await registry.get_manifest(APP, V1)
        assert await registry.get_manifest(APP, V1, known=known) is known
        assert (await registry.get_manifest(APP, V1, known=known)).descriptor.digest == Digest.of(RAW + b" ")
    assert [seen.headers.get("If-None-Match") for seen in upstream.requests] == [None, f'"{SHA256}"', f'"{SHA256}"']


async def test_not_modified_is_invalid_without_a_known_manifest(upstream: Upstream) -> None:
    upstream.script(answer(304, b""))
    async with client(upstream.url) as registry:
        with pytest.raises(RegistryFault):
            await registry.get_manifest(APP, V1)


async def test_a_digest_is_asked_after_without_its_own_name_which_would_always_be_not_modified(
    upstream: Upstream,
) -> None:
    upstream.script(manifest(), manifest(), refusal(404, "MANIFEST_UNKNOWN"))
    async with client(upstream.url) as registry:
        known = await registry.get_manifest(APP, SHA256)
        assert await registry.get_manifest(APP, SHA256, known=known) is known
        with pytest.raises(NotFound):
            await registry.get_manifest(APP, SHA256, known=known)
    assert [seen.headers.get("If-None-Match") for seen in upstream.requests] == [None] * len(upstream.requests)
    assert upstream.requests[1].method == "HEAD"


async def test_any_page_that_says_welcome_is_no_manifest(upstream: Upstream) -> None:
    upstream.script(answer(200, '{"status": "welcome"}', Content_Type="application/json"))
    async with client(upstream.url) as registry:
        with pytest.raises(UntrustedAnswer, match="no manifest") as caught:
            await registry.get_manifest(APP, V1)
    assert caught.value.concern is Concern.REGISTRY_URL


async def test_a_retry_while_the_client_closes_fails_with_shutting_down(upstream: Upstream) -> None:
    upstream.script(answer(503, Retry_After="1"))
    async with client(upstream.url) as registry:
        reading = asyncio.ensure_future(registry.list_tags(APP, 10))
        while not upstream.requests:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
    with pytest.raises(Unavailable) as caught:
        await reading
    assert caught.value.reason == "SHUTTING_DOWN"


async def test_reads_are_not_answered_by_a_cache_on_the_way(upstream: Upstream) -> None:
    upstream.script(manifest(), manifest(), answer(200, '{"tags": []}'), answer(200), answer(202))
    async with client(upstream.url) as registry:
        await registry.resolve_manifest(APP, V1)
        await registry.get_manifest(APP, V1)
        await registry.list_tags(APP, 10)
        await registry.blob_exists(APP, SHA256)
        await registry.delete_manifest(APP, SHA256)
    assert [seen.headers.get("Cache-Control") for seen in upstream.requests] == ["no-cache"] * 4 + [None]


async def test_a_registry_that_is_busy_with_our_requests_still_answers_whether_it_is_there(upstream: Upstream) -> None:
    release = asyncio.Event()

    async def busy(request: web.Request) -> web.StreamResponse:
        if request.path != "/v2/":
            await release.wait()
            return manifest()
        return answer(200)

    upstream.script(busy)
    async with client(upstream.url, concurrency=2, timeouts=Timeouts()) as registry:
        reading = [asyncio.ensure_future(registry.get_manifest(APP, V1)) for _ in range(4)]
        while len(upstream.requests) < 2:
            await asyncio.sleep(0)
        async with within(5):
            await registry.ping()
        release.set()
        await asyncio.gather(*reading)


async def test_what_the_registry_repeats_of_a_credential_is_shown_nowhere(upstream: Upstream) -> None:
    async def repeat(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") is None:
            return basic_challenge()
        if request.path == "/v2/":
            return answer(200, Docker_Distribution_Api_Version=f"registry/{PASSWORD}")
        if "tags" in request.path:
            return answer(307, Location=f"https://storage.test/{PASSWORD}")
        return answer(200, "{}", Content_Type=f"x/{PASSWORD}")

    upstream.script(repeat)
    async with client(upstream.url, credentials=PORTUS) as registry:
        with pytest.raises(DistributionError) as redirected:
            await registry.list_tags(APP, 10)
        with pytest.raises(UntrustedAnswer) as typed:
            await registry.get_manifest(APP, V1)
        version = await registry.ping()
    shown = str(redirected.value) + redirected.value.operator_detail + str(typed.value) + version.api_version
    assert PASSWORD not in shown
    assert "https://storage.test/[redacted]" in redirected.value.operator_detail


async def test_the_environments_proxy_brings_no_credential_of_its_own(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\nmachine registry.test login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", upstream.url)
    monkeypatch.setenv("no_proxy", "")
    upstream.script(answer(200))
    configuration = Configuration(url="http://registry.test", use_environment_proxy=True)
    async with DistributionClient(configuration) as registry:
        await registry.ping()
    (through_the_proxy,) = upstream.requests
    assert through_the_proxy.authorization is None
    assert "registry.test" in through_the_proxy.target
    upstream.requests.clear()
    upstream.script(answer(200))
    async with DistributionClient(replace(configuration, url=upstream.url, use_environment_proxy=False)) as registry:
        await registry.ping()
    assert upstream.requests[0].authorization is None
