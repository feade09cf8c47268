"""Uploads, which behave as those of distribution 2.8.2 and 3.1.1."""

import hashlib

import pytest

from portus_gateway.devregistry import DevRegistry, image
from tests.devregistry.http_client import Answer, HttpClient

DATA = b"hello world"
DIGEST = "sha256:" + hashlib.sha256(DATA).hexdigest()
OTHER = "sha256:" + "0" * 64


@pytest.fixture(params=["2.8", "3.1"])
async def either(request: pytest.FixtureRequest, registry: DevRegistry, registry_2_8: DevRegistry) -> DevRegistry:
    return registry_2_8 if request.param == "2.8" else registry


async def start(client: HttpClient, registry: DevRegistry, query: str = "", data: bytes | None = None) -> Answer:
    return await client.call(registry, "POST", f"/v2/a/blobs/uploads/{query}", data=data)


def location(answer: Answer) -> str:
    return answer.headers["Location"]


async def pull(client: HttpClient, registry: DevRegistry, digest: str = DIGEST) -> Answer:
    return await client.call(registry, "GET", f"/v2/a/blobs/{digest}")


async def test_a_blob_is_uploaded_with_one_put(client: HttpClient, either: DevRegistry) -> None:
    started = await start(client, either)
    assert started.status == 202
    assert started.headers["Range"] == "0-0"
    assert location(started).startswith(f"{either.url}/v2/a/blobs/uploads/{started.headers['Docker-Upload-UUID']}?")
    done = await client.call(either, "PUT", f"{location(started)}&digest={DIGEST}", data=DATA)
    assert (done.status, done.headers["Docker-Content-Digest"]) == (201, DIGEST)
    assert location(done) == f"{either.url}/v2/a/blobs/{DIGEST}"
    assert (await client.call(either, "GET", location(done))).body == DATA


async def test_a_blob_is_uploaded_in_chunks_each_to_the_location_of_the_one_before(
    client: HttpClient, either: DevRegistry
) -> None:
    answer = await start(client, either)
    for begin, end in ((0, 5), (5, 8)):
        answer = await client.call(
            either,
            "PATCH",
            location(answer),
            headers={"Content-Range": f"{begin}-{end - 1}", "Content-Type": "application/octet-stream"},
            data=DATA[begin:end],
        )
        assert (answer.status, answer.headers["Range"]) == (202, f"0-{end - 1}")
    progress = await client.call(either, "GET", location(answer))
    assert (progress.status, progress.headers["Range"]) == (204, "0-7")
    done = await client.call(either, "PUT", f"{location(answer)}&digest={DIGEST}", data=DATA[8:])
    assert done.status == 201
    assert (await pull(client, either)).body == DATA


async def test_a_location_that_was_used_is_refused(
    client: HttpClient, registry: DevRegistry, registry_2_8: DevRegistry
) -> None:
    for tried, refusal in ((registry, (416, "RANGE_INVALID")), (registry_2_8, (404, "BLOB_UPLOAD_INVALID"))):
        started = await start(client, tried)
        await client.call(tried, "PATCH", location(started), data=DATA[:5])
        answer = await client.call(tried, "PATCH", location(started), data=DATA[5:])
        assert (answer.status, answer.code) == refusal


async def test_3_1_refuses_a_chunk_out_of_order(client: HttpClient, registry: DevRegistry) -> None:
    started = await start(client, registry)
    for asked, status, code in (
        ("7-9", 416, "RANGE_INVALID"),
        ("0-9", 400, "SIZE_INVALID"),
        ("bytes 0-2/*", 500, "UNKNOWN"),
    ):
        answer = await client.call(registry, "PATCH", location(started), headers={"Content-Range": asked}, data=b"abc")
        assert (answer.status, answer.code) == (status, code)


async def test_2_8_ignores_the_content_range_of_a_chunk(client: HttpClient, registry_2_8: DevRegistry) -> None:
    started = await start(client, registry_2_8)
    answer = await client.call(registry_2_8, "PATCH", location(started), headers={"Content-Range": "7-9"}, data=b"abc")
    assert (answer.status, answer.headers["Range"]) == (202, "0-2")


async def test_content_of_another_digest_is_refused_and_not_stored(client: HttpClient, either: DevRegistry) -> None:
    started = await start(client, either)
    answer = await client.call(either, "PUT", f"{location(started)}&digest={OTHER}", data=DATA)
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    assert not either.holds("a", OTHER)
    assert not either.holds("a", DIGEST)


@pytest.mark.parametrize("digest", ["", "&digest=", "&digest=sha256:12", "&digest=nonsense"])
async def test_an_upload_ends_with_a_digest(client: HttpClient, either: DevRegistry, digest: str) -> None:
    started = await start(client, either)
    answer = await client.call(either, "PUT", location(started) + digest, data=DATA)
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")


async def test_a_cancelled_upload_is_unknown(client: HttpClient, either: DevRegistry) -> None:
    started = await start(client, either)
    assert (await client.call(either, "DELETE", location(started))).status == 204
    answer = await client.call(either, "GET", location(started))
    assert (answer.status, answer.code) == (404, "BLOB_UPLOAD_UNKNOWN")


async def test_an_upload_without_its_state_is_invalid(
    client: HttpClient, registry: DevRegistry, registry_2_8: DevRegistry
) -> None:
    for tried in (registry, registry_2_8):
        path = location(await start(client, tried)).partition("?")[0]
        for method in ("PATCH", "PUT", "DELETE", "POST"):
            answer = await client.call(tried, method, path)
            assert (answer.status, answer.code) == (404, "BLOB_UPLOAD_INVALID")
        # Only 3.1 tells how far it is.
        assert (await client.call(tried, "GET", path)).status == (204 if tried is registry else 404)


async def test_an_upload_belongs_to_its_repository(client: HttpClient, registry: DevRegistry) -> None:
    started = await start(client, registry)
    elsewhere = location(started).replace("/v2/a/", "/v2/b/")
    answer = await client.call(registry, "PUT", f"{elsewhere}&digest={DIGEST}", data=DATA)
    assert (answer.status, answer.code) == (404, "BLOB_UPLOAD_INVALID")
    answer = await client.call(registry, "GET", elsewhere)
    assert (answer.status, answer.code) == (404, "BLOB_UPLOAD_UNKNOWN")


async def test_distribution_takes_no_upload_in_one_request(client: HttpClient, either: DevRegistry) -> None:
    answer = await start(client, either, f"?digest={DIGEST}", DATA)
    assert answer.status == 202
    assert not either.holds("a", DIGEST)
    done = await client.call(either, "PUT", f"{location(answer)}&digest={DIGEST}", data=DATA)
    assert done.status == 201


async def test_a_blob_of_another_repository_is_mounted(client: HttpClient, either: DevRegistry) -> None:
    content = image("mounted")
    either.push("source", "1", content=content)
    digest = next(iter(content.blobs))
    answer = await start(client, either, f"?mount={digest}&from=source")
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, digest)
    assert (await pull(client, either, digest)).body == content.blobs[digest]


@pytest.mark.parametrize("query", [f"?mount={OTHER}&from=source", "?mount=x&from=source", f"?mount={OTHER}"])
async def test_a_mount_that_fails_starts_an_upload(client: HttpClient, either: DevRegistry, query: str) -> None:
    either.push("source", "1")
    answer = await start(client, either, query)
    assert answer.status == 202
    assert "_state=" in location(answer)


async def test_mounting_needs_the_right_to_pull_at_the_source(client: HttpClient, guarded: DevRegistry) -> None:
    content = image("secret")
    guarded.push("source", "1", content=content)
    digest = next(iter(content.blobs))
    url = f"{guarded.url}/v2/a/blobs/uploads/?mount={digest}&from=source"
    own: dict[str, object] = {"type": "repository", "name": "a", "actions": ["push", "pull"]}
    source: dict[str, object] = {"type": "repository", "name": "source", "actions": ["pull"]}
    refused = await client.send("POST", url, headers={"Authorization": f"Bearer {guarded.tokens.sign([own])}"})
    assert refused.status == 401
    assert 'scope="repository:a:push,pull repository:source:pull"' in refused.headers["WWW-Authenticate"]
    assert not guarded.holds("a", digest)
    headers = {"Authorization": f"Bearer {guarded.tokens.sign([own, source])}"}
    assert (await client.send("POST", url, headers=headers)).status == 201


async def test_a_client_that_waits_for_100_continue_gets_it(client: HttpClient, registry: DevRegistry) -> None:
    started = await start(client, registry)
    answer = await client.call(
        registry, "PUT", f"{location(started)}&digest={DIGEST}", headers={"Expect": "100-continue"}, data=DATA
    )
    assert answer.status == 201


async def test_3_1_lists_a_repository_once_it_has_a_manifest(
    client: HttpClient, registry: DevRegistry, registry_2_8: DevRegistry
) -> None:
    for tried, listed in ((registry, []), (registry_2_8, ["a"])):
        started = await start(client, tried)
        assert tried.repositories() == []
        await client.call(tried, "PUT", f"{location(started)}&digest={DIGEST}", data=DATA)
        assert tried.repositories() == listed
