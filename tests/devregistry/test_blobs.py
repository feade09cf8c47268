import aiohttp
import pytest

from portus_gateway.devregistry import DevRegistry, image, raw_manifest
from portus_gateway.devregistry.images import Content
from tests.devregistry.http_client import Answer, HttpClient

ABSENT = "sha256:" + "0" * 64
CONTENT = image("blob", layer_size=3000)
DIGEST, BLOB = list(CONTENT.blobs.items())[1]


@pytest.fixture
async def seeded(registry: DevRegistry) -> DevRegistry:
    registry.push("a", "1", content=CONTENT)
    return registry


async def get(
    client: HttpClient, registry: DevRegistry, digest: str = DIGEST, method: str = "GET", **headers: str
) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.call(registry, method, f"/v2/a/blobs/{digest}", headers=sent)


async def test_a_blob_comes_with_its_digest(client: HttpClient, seeded: DevRegistry) -> None:
    answer = await get(client, seeded)
    assert (answer.status, answer.body) == (200, BLOB)
    assert answer.headers["Docker-Content-Digest"] == DIGEST
    assert answer.headers["Etag"] == f'"{DIGEST}"'
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Accept-Ranges"] == "bytes"
    head = await get(client, seeded, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == str(len(BLOB))


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=5-", 5, len(BLOB)),
        ("bytes=-5", len(BLOB) - 5, len(BLOB)),
        ("bytes= 1 - 3 ", 1, 4),
        (f"bytes=2-{len(BLOB) + 9}", 2, len(BLOB)),
        (f"bytes=-{len(BLOB) + 9}", 0, len(BLOB)),
    ],
)
async def test_a_range_is_cut_out(client: HttpClient, seeded: DevRegistry, asked: str, start: int, end: int) -> None:
    answer = await get(client, seeded, Range=asked)
    assert (answer.status, answer.body) == (206, BLOB[start:end])
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(BLOB)}"


async def test_several_ranges_are_answered_with_all_of_it(client: HttpClient, seeded: DevRegistry) -> None:
    answer = await get(client, seeded, Range="bytes=0-1,4-5")
    assert (answer.status, answer.body) == (200, BLOB)


async def test_a_range_out_of_bounds_is_refused_in_plain_text(client: HttpClient, seeded: DevRegistry) -> None:
    answer = await get(client, seeded, Range=f"bytes={len(BLOB)}-")
    assert (answer.status, answer.body) == (416, b"invalid range: failed to overlap\n")
    assert answer.headers["Content-Range"] == f"bytes */{len(BLOB)}"
    for asked in ("bytes=9-5", "bytes=x", "bytes=-", "items=0-1"):
        answer = await get(client, seeded, Range=asked)
        assert (answer.status, answer.body) == (416, b"invalid range\n")
        assert "Content-Range" not in answer.headers


async def test_2_8_breaks_off_the_refusal_of_a_range(client: HttpClient, registry_2_8: DevRegistry) -> None:
    registry_2_8.push("a", "1", content=CONTENT)
    with pytest.raises(aiohttp.ClientPayloadError):
        await get(client, registry_2_8, Range=f"bytes={len(BLOB)}-")
    head = await get(client, registry_2_8, method="HEAD", Range=f"bytes={len(BLOB)}-")
    assert head.status == 416
    assert registry_2_8.requests[0].status == 416


async def test_a_matching_etag_is_a_304(client: HttpClient, seeded: DevRegistry) -> None:
    for etag, status in (
        (f'"{DIGEST}"', 304),
        (f'W/"{DIGEST}"', 304),
        (f'"x", "{DIGEST}"', 304),
        ("*", 304),
        (f'"{ABSENT}"', 200),
    ):
        assert (await get(client, seeded, If_None_Match=etag)).status == status


async def test_a_blob_belongs_to_the_repositories_that_link_to_it(client: HttpClient, seeded: DevRegistry) -> None:
    for path in (f"/v2/b/blobs/{DIGEST}", f"/v2/a/blobs/{ABSENT}", f"/v2/a/blobs/{CONTENT.digest}"):
        answer = await client.call(seeded, "GET", path)
        assert (answer.status, answer.code) == (404, "BLOB_UNKNOWN")


@pytest.mark.parametrize("digest", ["sha256:xyz", "md5:" + "0" * 32, "sha256:" + "A" * 64])
async def test_a_malformed_digest_is_invalid(client: HttpClient, seeded: DevRegistry, digest: str) -> None:
    for method in ("GET", "DELETE"):
        answer = await get(client, seeded, digest, method)
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID")


async def test_a_delete_removes_the_blob_from_one_repository(client: HttpClient, seeded: DevRegistry) -> None:
    seeded.push("b", "1", content=CONTENT)
    answer = await get(client, seeded, method="DELETE")
    assert (answer.status, answer.body) == (202, b"")
    assert (await get(client, seeded)).code == "BLOB_UNKNOWN"
    again = await get(client, seeded, method="DELETE")
    assert (again.status, again.code) == (404, "BLOB_UNKNOWN")
    assert seeded.holds("b", DIGEST)
    assert (await client.call(seeded, "GET", f"/v2/b/blobs/{DIGEST}")).body == BLOB


async def test_a_manifest_is_not_deleted_as_a_blob(client: HttpClient, seeded: DevRegistry) -> None:
    answer = await get(client, seeded, CONTENT.digest, "DELETE")
    assert (answer.status, answer.code) == (404, "BLOB_UNKNOWN")
    assert seeded.holds("a", CONTENT.digest)


async def test_without_deletion_no_blob_is_deleted(client: HttpClient, seeded: DevRegistry) -> None:
    seeded.deletion_enabled = False
    for digest in (DIGEST, ABSENT):
        answer = await get(client, seeded, digest, "DELETE")
        assert (answer.status, answer.code) == (405, "UNSUPPORTED")
    assert seeded.holds("a", DIGEST)


async def test_broken_content_can_be_seeded_over_sound_content(client: HttpClient, seeded: DevRegistry) -> None:
    broken = raw_manifest(b"{}", CONTENT.media_type)
    seeded.push("a", content=Content(broken.manifest, broken.media_type, blobs={DIGEST: b"not what it says"}))
    assert (await get(client, seeded)).body == b"not what it says"
