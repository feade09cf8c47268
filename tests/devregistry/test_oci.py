"""Where the flavour `oci-1.1` differs from distribution. tests/conformance runs the official suite over it."""

import hashlib

import pytest

from portus_gateway.devregistry import Content, DevRegistry, image, multi_platform
from tests.devregistry.http_client import Answer, HttpClient

DATA = b"some content"
SHA256 = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
SHA512 = f"sha512:{hashlib.sha512(DATA).hexdigest()}"
UPLOADS = "/v2/a/blobs/uploads/"


async def push_blob(client: HttpClient, registry: DevRegistry, digest: str, data: bytes = DATA) -> Answer:
    started = await client.call(registry, "POST", UPLOADS)
    return await client.call(registry, "PUT", f"{started.headers['Location']}&digest={digest}", data=data)


async def test_a_blob_is_pushed_in_one_request(client: HttpClient, oci: DevRegistry) -> None:
    answer = await client.call(oci, "POST", f"{UPLOADS}?digest={SHA256}", data=DATA)
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, SHA256)
    assert (await client.call(oci, "GET", answer.headers["Location"])).body == DATA
    wrong = await client.call(oci, "POST", f"{UPLOADS}?digest={SHA256}", data=b"other")
    assert (wrong.status, wrong.code) == (400, "DIGEST_INVALID")


async def test_a_blob_keeps_its_digest_of_sha512(client: HttpClient, oci: DevRegistry) -> None:
    answer = await push_blob(client, oci, SHA512)
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, SHA512)
    found = await client.call(oci, "GET", f"/v2/a/blobs/{SHA512}")
    assert (found.body, found.headers["Docker-Content-Digest"]) == (DATA, SHA512)
    assert (await client.call(oci, "GET", f"/v2/a/blobs/{SHA256}")).status == 404


async def test_distribution_stores_every_blob_under_its_sha256(
    client: HttpClient, registry: DevRegistry, registry_2_8: DevRegistry
) -> None:
    for tried in (registry, registry_2_8):
        assert (await push_blob(client, tried, SHA512)).headers["Docker-Content-Digest"] == SHA256
        for digest in (SHA512, SHA256):
            found = await client.call(tried, "GET", f"/v2/a/blobs/{digest}")
            assert (found.body, found.headers["Docker-Content-Digest"]) == (DATA, SHA256)
        # A mount links to the digest of sha512, under which nothing is stored.
        mounted = await client.call(tried, "POST", f"/v2/b/blobs/uploads/?mount={SHA512}&from=a")
        assert mounted.status == 201
        assert (await client.call(tried, "GET", f"/v2/b/blobs/{SHA512}")).status == 404
        assert (await client.call(tried, "DELETE", f"/v2/b/blobs/{SHA512}")).status == 404
        # Without its sha256, the blob is known and cannot be read.
        assert (await client.call(tried, "DELETE", f"/v2/a/blobs/{SHA256}")).status == 202
        broken = await client.call(tried, "GET", f"/v2/a/blobs/{SHA512}")
        assert (broken.status, broken.code) == (500, "UNKNOWN")
        assert (await client.call(tried, "POST", f"/v2/b/blobs/uploads/?mount={SHA512}&from=a")).status == 202


async def test_a_manifest_is_pushed_by_its_digest_of_sha512(client: HttpClient, oci: DevRegistry) -> None:
    content = image("a")
    oci.push("a", content=content)
    digest = f"sha512:{hashlib.sha512(content.manifest).hexdigest()}"
    headers = {"Content-Type": content.media_type}
    path = f"/v2/a/manifests/{digest}"
    answer = await client.call(oci, "PUT", path, headers=headers, data=content.manifest)
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, digest)
    assert (await client.call(oci, "GET", path)).headers["Docker-Content-Digest"] == digest
    wrong = await client.call(oci, "PUT", path, headers=headers, data=content.manifest + b" ")
    assert (wrong.status, wrong.code) == (400, "DIGEST_INVALID")


async def test_the_length_of_an_empty_blob_is_announced(
    client: HttpClient, oci: DevRegistry, registry: DevRegistry, registry_2_8: DevRegistry
) -> None:
    empty = f"sha256:{hashlib.sha256(b'').hexdigest()}"
    for tried in (oci, registry, registry_2_8):
        await push_blob(client, tried, empty, b"")
        for method in ("GET", "HEAD"):
            answer = await client.call(tried, method, f"/v2/a/blobs/{empty}")
            assert (answer.status, answer.headers["Content-Length"]) == (200, "0")


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_chunk_out_of_order_is_refused_and_the_upload_goes_on(
    client: HttpClient, oci: DevRegistry, method: str
) -> None:
    started = await client.call(oci, "POST", UPLOADS)
    location = f"{started.headers['Location']}&digest={SHA256}"
    for asked in ("5-11", "bytes 0-11/12"):
        answer = await client.call(oci, method, location, headers={"Content-Range": asked}, data=DATA[5:])
        assert (answer.status, answer.code) == (416, "RANGE_INVALID")
    assert (await client.call(oci, "GET", location)).headers["Range"] == "0-0"
    assert (await client.call(oci, "PUT", location, headers={"Content-Range": "0-11"}, data=DATA)).status == 201


async def test_the_type_of_a_chunk_does_not_matter(client: HttpClient, oci: DevRegistry, registry: DevRegistry) -> None:
    for tried, status in ((oci, 202), (registry, 500)):
        started = await client.call(tried, "POST", UPLOADS)
        headers = {"Content-Type": "text/plain"}
        answer = await client.call(tried, "PATCH", started.headers["Location"], headers=headers, data=DATA)
        assert answer.status == status


async def test_a_blob_is_mounted_without_naming_its_source(client: HttpClient, oci: DevRegistry) -> None:
    content = image("mounted")
    oci.push("source", content=content)
    digest = next(iter(content.blobs))
    answer = await client.call(oci, "POST", f"{UPLOADS}?mount={digest}")
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, digest)
    assert (await client.call(oci, "POST", f"{UPLOADS}?mount={SHA256}")).status == 202


async def test_a_blob_is_not_mounted_from_where_the_client_may_not_pull(client: HttpClient) -> None:
    content = image("secret")
    digest = next(iter(content.blobs))
    async with DevRegistry(flavour="oci-1.1") as registry:
        registry.push("source", content=content)
        own: dict[str, object] = {"type": "repository", "name": "a", "actions": ["push", "pull"]}
        source: dict[str, object] = {"type": "repository", "name": "source", "actions": ["pull"]}
        for access, status in (([own], 202), ([own, source], 201)):
            headers = {"Authorization": f"Bearer {registry.tokens.sign(access)}"}
            answer = await client.send("POST", f"{registry.url}{UPLOADS}?mount={digest}", headers=headers)
            assert answer.status == status


async def test_no_tags_are_an_empty_list(client: HttpClient, oci: DevRegistry) -> None:
    oci.push("a")
    answer = await client.call(oci, "GET", "/v2/a/tags/list")
    assert (answer.status, answer.body) == (200, b'{"name":"a","tags":[]}\n')
    unknown = await client.call(oci, "GET", "/v2/none/tags/list?n=0")
    assert (unknown.status, unknown.code) == (404, "NAME_UNKNOWN")


async def test_the_last_page_of_tags_has_no_link(client: HttpClient, oci: DevRegistry) -> None:
    oci.push("a", "t1", "t2", "t3", "t4")
    first = await client.call(oci, "GET", "/v2/a/tags/list?n=2")
    assert first.headers["Link"] == '</v2/a/tags/list?last=t2&n=2>; rel="next"'
    last = await client.call(oci, "GET", "/v2/a/tags/list?n=2&last=t2")
    assert last.json()["tags"] == ["t3", "t4"]
    assert "Link" not in last.headers


@pytest.mark.parametrize("content", [image("a"), image("a", format="docker"), multi_platform("a", format="docker")])
async def test_a_manifest_is_sent_whatever_the_client_accepts(
    client: HttpClient, oci: DevRegistry, content: Content
) -> None:
    oci.push("a", "1", content=content)
    answer = await client.call(oci, "GET", "/v2/a/manifests/1", headers={"Accept": "text/plain"})
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, content.media_type, content.manifest)


async def test_a_tag_is_deleted_and_the_manifest_stays(client: HttpClient, oci: DevRegistry) -> None:
    digest = oci.push("a", "1", "2")
    assert (await client.call(oci, "DELETE", "/v2/a/manifests/1")).status == 202
    assert oci.tags("a") == {"2": digest}
    assert oci.holds("a", digest)


async def test_a_malformed_digest_is_a_bad_request(client: HttpClient, oci: DevRegistry) -> None:
    for method in ("GET", "DELETE"):
        answer = await client.call(oci, method, "/v2/a/manifests/sha256:12")
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    answer = await client.call(oci, "GET", f"/v2/{'a' * 256}/tags/list")
    assert (answer.status, answer.code) == (400, "NAME_INVALID")
