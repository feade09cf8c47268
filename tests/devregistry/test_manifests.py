"""Manifests by tag and digest, negotiated and rewritten as by distribution 2.8.2 and 3.1.1."""

import base64
import hashlib
import json

import pytest
from multidict import CIMultiDict

from portus_gateway.devregistry import (
    Content,
    DevRegistry,
    Flavour,
    artifact,
    image,
    index,
    multi_platform,
    raw_manifest,
)
from tests.devregistry.http_client import ALL_MANIFESTS, Answer, HttpClient

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
ABSENT = "sha256:" + "0" * 64

FORMS = {
    "image": image("a"),
    "docker": image("a", format="docker", layers=2),
    "index": multi_platform("a"),
    "list": multi_platform("a", format="docker"),
    "artifact": artifact("application/spdx+json", {"a.json": b"{}"}),
}


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


async def get(
    client: HttpClient, registry: DevRegistry, reference: str, accept: str | None = ALL_MANIFESTS, method: str = "GET"
) -> Answer:
    headers = {} if accept is None else {"Accept": accept}
    return await client.call(registry, method, f"/v2/team/app/manifests/{reference}", headers=headers)


async def put(
    client: HttpClient, registry: DevRegistry, reference: str, content: Content, repository: str = "team/app"
) -> Answer:
    return await client.put_manifest(registry, repository, reference, content)


@pytest.fixture(params=["2.8", "3.1"])
async def either(request: pytest.FixtureRequest, registry: DevRegistry, registry_2_8: DevRegistry) -> DevRegistry:
    """Each of the two versions in turn."""
    return registry_2_8 if request.param == "2.8" else registry


@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS)
async def test_a_manifest_comes_byte_by_byte_by_tag_and_by_digest(
    client: HttpClient, either: DevRegistry, content: Content
) -> None:
    digest = either.push("team/app", "1.0", content=content)
    assert digest == sha256(content.manifest)
    for reference in ("1.0", digest):
        answer = await get(client, either, reference)
        assert (answer.status, answer.body) == (200, content.manifest)
        assert answer.headers["Content-Type"] == content.media_type
        assert answer.headers["Docker-Content-Digest"] == digest
        assert answer.headers["Etag"] == f'"{digest}"'
        assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
        head = await get(client, either, reference, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        for name in ("Content-Type", "Content-Length", "Docker-Content-Digest", "Etag"):
            assert head.headers[name] == answer.headers[name]


async def test_children_and_blobs_of_an_index_are_there(client: HttpClient, either: DevRegistry) -> None:
    content = FORMS["index"]
    either.push("team/app", "1.0", content=content)
    for child in content.children:
        assert (await get(client, either, child.digest)).body == child.manifest
        for digest, blob in child.blobs.items():
            assert (await client.call(either, "GET", f"/v2/team/app/blobs/{digest}")).body == blob


# What comes for a tag: the status and type, or the code, by what is accepted. Measured on both.
NEGOTIATED: list[tuple[str, str | None, str, str]] = [
    # form, accepted, in 2.8, in 3.1
    ("image", None, "MANIFEST_UNKNOWN", "MANIFEST_UNKNOWN"),
    ("image", "*/*", "MANIFEST_UNKNOWN", "MANIFEST_UNKNOWN"),
    ("image", DOCKER_MANIFEST, "MANIFEST_UNKNOWN", "MANIFEST_UNKNOWN"),
    ("image", f"{OCI_MANIFEST};q=0.5", OCI_MANIFEST, OCI_MANIFEST),
    ("image", OCI_MANIFEST.upper(), "MANIFEST_UNKNOWN", OCI_MANIFEST),
    ("artifact", DOCKER_MANIFEST, "MANIFEST_UNKNOWN", "MANIFEST_UNKNOWN"),
    ("index", OCI_MANIFEST, "MANIFEST_UNKNOWN", OCI_INDEX),
    ("index", None, "MANIFEST_UNKNOWN", OCI_INDEX),
    ("docker", None, SCHEMA_1, DOCKER_MANIFEST),
    ("docker", OCI_MANIFEST, SCHEMA_1, DOCKER_MANIFEST),
    ("docker", DOCKER_MANIFEST, DOCKER_MANIFEST, DOCKER_MANIFEST),
    ("list", DOCKER_MANIFEST, DOCKER_MANIFEST, DOCKER_MANIFEST),
    ("list", OCI_MANIFEST, SCHEMA_1, "MANIFEST_INVALID"),
    ("list", None, SCHEMA_1, "MANIFEST_INVALID"),
]


@pytest.mark.parametrize("flavour", ["2.8", "3.1"])
@pytest.mark.parametrize(("form", "accept", "in_2_8", "in_3_1"), NEGOTIATED)
async def test_the_type_for_a_tag_depends_on_accept_and_version(
    client: HttpClient, flavour: Flavour, form: str, accept: str | None, in_2_8: str, in_3_1: str
) -> None:
    expected = in_2_8 if flavour == "2.8" else in_3_1
    async with DevRegistry(auth="anonymous", flavour=flavour) as registry:
        registry.push("team/app", "1.0", content=FORMS[form])
        answer = await get(client, registry, "1.0", accept)
        if "/" in expected:
            assert (answer.status, answer.headers["Content-Type"]) == (200, expected)
            if expected != SCHEMA_1:
                assert answer.headers["Docker-Content-Digest"] == sha256(answer.body)
        else:
            assert answer.code == expected
            assert answer.status == (404 if expected == "MANIFEST_UNKNOWN" else 400)


async def test_several_accept_lines_count_like_one(client: HttpClient, registry: DevRegistry) -> None:
    registry.push("team/app", "1.0")
    headers = CIMultiDict([("Accept", DOCKER_MANIFEST), ("Accept", OCI_MANIFEST)])
    answer = await client.send("GET", f"{registry.url}/v2/team/app/manifests/1.0", headers=headers)
    assert answer.status == 200


async def test_a_digest_is_never_converted(client: HttpClient, either: DevRegistry) -> None:
    for form in ("docker", "list"):
        digest = either.push("team/app", form, content=FORMS[form])
        answer = await get(client, either, digest, accept=None)
        assert (answer.status, answer.body) == (200, FORMS[form].manifest)


async def test_a_list_without_its_type_gives_the_amd64_child_with_its_digest(
    client: HttpClient, either: DevRegistry
) -> None:
    content = multi_platform("a", ("linux/arm64", "linux/amd64"), format="docker")
    either.push("team/app", "1.0", content=content)
    answer = await get(client, either, "1.0", DOCKER_MANIFEST)
    assert answer.body == content.children[1].manifest
    assert answer.headers["Docker-Content-Digest"] == content.children[1].digest


async def test_a_list_without_an_amd64_child_is_not_found(client: HttpClient, either: DevRegistry) -> None:
    either.push("team/app", "1.0", content=multi_platform("a", ("linux/arm64",), format="docker"))
    answer = await get(client, either, "1.0", DOCKER_MANIFEST)
    assert (answer.status, answer.code) == (404, "MANIFEST_UNKNOWN")


async def test_2_8_rewrites_to_a_signed_schema_1_manifest_of_another_digest(
    client: HttpClient, registry_2_8: DevRegistry
) -> None:
    stored = registry_2_8.push("team/app", "1.0", content=FORMS["docker"])
    answer = await get(client, registry_2_8, "1.0", accept=None)
    again = await get(client, registry_2_8, "1.0", accept=None)
    rewritten = answer.headers["Docker-Content-Digest"]
    assert rewritten == again.headers["Docker-Content-Digest"] != stored
    document = answer.json()
    assert (document["schemaVersion"], document["name"], document["tag"]) == (1, "team/app", "1.0")
    layers = [layer["digest"] for layer in json.loads(FORMS["docker"].manifest)["layers"]]
    assert document["fsLayers"] == [{"blobSum": layer} for layer in reversed(layers)]
    history = document["history"]
    assert isinstance(history, list)
    newest, oldest = (json.loads(entry["v1Compatibility"]) for entry in history)
    assert newest["parent"] == oldest["id"]
    assert newest["config"]["Labels"] == {"seed": "a"}
    # The digest is that of the text without its signatures, as libtrust takes them out.
    signatures = document["signatures"]
    assert isinstance(signatures, list)
    encoded = signatures[0]["protected"]
    protected = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    tail = base64.urlsafe_b64decode(protected["formatTail"] + "==")
    assert sha256(answer.body[: protected["formatLength"]] + tail) == rewritten


async def test_2_8_cannot_find_or_delete_by_the_rewritten_digest(client: HttpClient, registry_2_8: DevRegistry) -> None:
    registry_2_8.push("team/app", "1.0", content=FORMS["docker"])
    rewritten = (await get(client, registry_2_8, "1.0", accept=None)).headers["Docker-Content-Digest"]
    for method in ("GET", "DELETE"):
        answer = await get(client, registry_2_8, rewritten, method=method)
        assert (answer.status, answer.code) == (404, "MANIFEST_UNKNOWN")


async def test_2_8_cannot_rewrite_an_image_without_its_config(client: HttpClient, registry_2_8: DevRegistry) -> None:
    content = FORMS["docker"]
    registry_2_8.push("team/app", "1.0", content=content)
    registry_2_8.delete_blob("team/app", json.loads(content.manifest)["config"]["digest"])
    answer = await get(client, registry_2_8, "1.0", accept=None)
    assert (answer.status, answer.code) == (400, "MANIFEST_INVALID")


@pytest.mark.parametrize("reference", ["none", ABSENT])
async def test_a_missing_manifest_is_unknown(client: HttpClient, either: DevRegistry, reference: str) -> None:
    either.push("team/app", "1.0")
    answer = await get(client, either, reference)
    assert (answer.status, answer.code) == (404, "MANIFEST_UNKNOWN")
    assert (await get(client, either, reference, method="HEAD")).status == 404
    elsewhere = await client.call(either, "GET", f"/v2/none/manifests/{reference}", headers={"Accept": ALL_MANIFESTS})
    assert (elsewhere.status, elsewhere.code) == (404, "MANIFEST_UNKNOWN")


async def test_details_differ_between_the_versions(
    client: HttpClient, registry: DevRegistry, registry_2_8: DevRegistry
) -> None:
    for tried in (registry_2_8, registry):
        tried.push("team/app", "1.0")
    answers = [
        await get(client, tried, reference) for tried in (registry_2_8, registry) for reference in ("none", ABSENT)
    ]
    assert [json.loads(answer.body)["errors"][0]["detail"] for answer in answers] == [
        {"Tag": "none"},
        {"Name": "team/app", "Revision": ABSENT},
        "unknown tag=none",
        f"unknown manifest name=team/app revision={ABSENT}",
    ]


@pytest.mark.parametrize("reference", ["sha256:xyz", "sha256:" + "A" * 64, "md5:" + "0" * 32, "sha512:" + "0" * 64])
async def test_a_malformed_digest_is_an_error_500(
    client: HttpClient, registry: DevRegistry, registry_2_8: DevRegistry, reference: str
) -> None:
    content = FORMS["image"]
    for tried in (registry, registry_2_8):
        tried.push("team/app", "1.0", content=content)
        for answer in (await get(client, tried, reference), await put(client, tried, reference, content)):
            assert (answer.status, answer.code) == (500, "UNKNOWN")
        assert tried.tags("team/app") == {"1.0": content.digest}
    assert (await get(client, registry, reference, method="DELETE")).code == "UNKNOWN"
    assert (await get(client, registry_2_8, reference, method="DELETE")).code == "DIGEST_INVALID"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_matching_etag_is_a_304_without_a_body(client: HttpClient, either: DevRegistry, method: str) -> None:
    digest = either.push("team/app", "1.0")
    for reference in ("1.0", digest):
        for etag, status in (
            (f'"{digest}"', 304),
            (digest, 304),
            (f'"{ABSENT}"', 200),
            ("*", 200),
            ("W/" + digest, 200),
        ):
            answer = await client.call(
                either,
                method,
                f"/v2/team/app/manifests/{reference}",
                headers={"Accept": ALL_MANIFESTS, "If-None-Match": etag},
            )
            assert answer.status == status
            if status == 304:
                assert answer.body == b""
                assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


async def test_a_digest_as_its_own_etag_is_a_304_even_for_a_missing_manifest(
    client: HttpClient, either: DevRegistry
) -> None:
    # Both versions compare before they look: only a request by tag, or one without an ETag, finds a delete out.
    digest = either.push("team/app", "1.0")
    either.delete("team/app", digest)
    headers = {"Accept": ALL_MANIFESTS, "If-None-Match": f'"{digest}"'}
    for repository, reference, status in (
        ("team/app", digest, 304),
        ("none", digest, 304),
        ("team/app", "1.0", 404),
    ):
        answer = await client.call(either, "GET", f"/v2/{repository}/manifests/{reference}", headers=headers)
        assert answer.status == status
    assert (await get(client, either, digest)).status == 404


async def test_the_etag_of_a_moved_tag_does_not_match(client: HttpClient, registry: DevRegistry) -> None:
    old = registry.push("team/app", "1.0")
    new = registry.push("team/app", "1.0", content=image("newer"))
    headers = {"Accept": ALL_MANIFESTS, "If-None-Match": f'"{old}"'}
    answer = await client.call(registry, "GET", "/v2/team/app/manifests/1.0", headers=headers)
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (200, new)


async def upload(client: HttpClient, registry: DevRegistry, repository: str, content: Content) -> None:
    for digest, blob in content.blobs.items():
        started = await client.call(registry, "POST", f"/v2/{repository}/blobs/uploads/")
        location = f"{started.headers['Location']}&digest={digest}"
        assert (await client.call(registry, "PUT", location, data=blob)).status == 201


async def test_a_pushed_manifest_can_be_pulled_by_tag_and_digest(client: HttpClient, either: DevRegistry) -> None:
    content = image("pushed", layers=2)
    await upload(client, either, "new/one", content)
    answer = await put(client, either, "1.0", content, "new/one")
    assert (answer.status, answer.body) == (201, b"")
    assert answer.headers["Docker-Content-Digest"] == content.digest
    assert answer.headers["Location"] == f"{either.url}/v2/new/one/manifests/{content.digest}"
    for reference in ("1.0", content.digest):
        assert (await client.pull(either, "new/one", reference)).body == content.manifest
    assert either.repositories() == ["new/one"]


async def test_a_manifest_put_by_digest_has_no_tag(client: HttpClient, either: DevRegistry) -> None:
    content = image("pushed")
    await upload(client, either, "new/one", content)
    assert (await put(client, either, content.digest, content, "new/one")).status == 201
    assert either.tags("new/one") == {}
    assert either.holds("new/one", content.digest)


async def test_a_tag_that_is_put_again_moves(client: HttpClient, either: DevRegistry) -> None:
    old, new = image("old"), image("new")
    either.push("team/app", "1.0", content=old)
    either.push("team/app", content=new)
    assert (await put(client, either, "1.0", new)).status == 201
    assert either.tags("team/app") == {"1.0": new.digest}
    assert (await get(client, either, old.digest)).body == old.manifest


async def test_an_index_is_taken_when_its_children_are_there(client: HttpClient, either: DevRegistry) -> None:
    content = FORMS["index"]
    answer = await put(client, either, "1.0", content)
    assert (answer.status, answer.code) == (400, "MANIFEST_BLOB_UNKNOWN")
    for child in content.children:
        either.push("team/app", content=child)
    assert (await put(client, either, "1.0", content)).status == 201


async def test_each_missing_blob_has_its_own_error(client: HttpClient, either: DevRegistry) -> None:
    content = image("pushed", layers=3)
    answer = await put(client, either, "1.0", content)
    errors = json.loads(answer.body)["errors"]
    assert answer.status == 400
    assert {error["code"] for error in errors} == {"MANIFEST_BLOB_UNKNOWN"}
    assert [error["detail"] for error in errors] == list(content.blobs)
    assert either.repositories() == []


def changed(content: Content, **fields: object) -> Content:
    document = json.dumps({**json.loads(content.manifest), **fields}).encode()
    return raw_manifest(document, content.media_type)


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (raw_manifest(b"", OCI_MANIFEST), 400, "MANIFEST_INVALID"),
        (raw_manifest(b"hello", OCI_MANIFEST), 400, "MANIFEST_INVALID"),
        (raw_manifest(b"[]", OCI_MANIFEST), 400, "MANIFEST_INVALID"),
        (raw_manifest(b"{}", OCI_MANIFEST), 500, "UNKNOWN"),
        (raw_manifest(FORMS["image"].manifest, "application/json"), 400, "MANIFEST_INVALID"),
        (raw_manifest(FORMS["image"].manifest, DOCKER_MANIFEST), 400, "MANIFEST_INVALID"),
        (changed(FORMS["image"], manifests=[]), 400, "MANIFEST_INVALID"),
        (changed(FORMS["index"], layers=[]), 400, "MANIFEST_INVALID"),
        (changed(FORMS["image"], schemaVersion=1), 500, "UNKNOWN"),
        (artifact("application/x", config=False), 400, "DIGEST_INVALID"),
        (raw_manifest(b'{"a": "' + b"x" * 4 * 1024**2 + b'"}', OCI_MANIFEST), 400, "MANIFEST_INVALID"),
    ],
    ids=lambda value: value.digest[7:15] if isinstance(value, Content) else str(value),
)
async def test_an_invalid_manifest_is_refused(
    client: HttpClient, either: DevRegistry, content: Content, status: int, code: str
) -> None:
    either.push("team/app", "1.0", content=FORMS["image"])
    either.push("team/app", content=FORMS["index"])
    answer = await put(client, either, "new", content)
    assert (answer.status, answer.code) == (status, code)
    assert "new" not in either.tags("team/app")


async def test_a_manifest_of_exactly_the_largest_size_is_taken(client: HttpClient, registry: DevRegistry) -> None:
    base = artifact("application/x", annotations={"fill": ""})
    await upload(client, registry, "team/app", base)
    largest = artifact("application/x", annotations={"fill": "x" * (4 * 1024**2 - len(base.manifest))})
    assert len(largest.manifest) == 4 * 1024**2
    assert (await put(client, registry, "1.0", largest)).status == 201


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_a_digest_that_does_not_match_is_refused(client: HttpClient, either: DevRegistry, algorithm: str) -> None:
    content = FORMS["image"]
    either.push("team/app", content=content)
    # Real registries take manifests under their SHA-256 alone.
    right = hashlib.new(algorithm, content.manifest).hexdigest()
    wrong = f"{algorithm}:{right if algorithm == 'sha512' else '0' * 64}"
    answer = await put(client, either, wrong, content)
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")


async def test_content_can_be_seeded_under_its_sha512(client: HttpClient, registry: DevRegistry) -> None:
    content = image("a", algorithm="sha512")
    registry.push("team/app", "1.0", content=content)
    expected = "sha512:" + hashlib.sha512(content.manifest).hexdigest()
    for reference in ("1.0", expected):
        answer = await get(client, registry, reference)
        assert (answer.body, answer.headers["Docker-Content-Digest"]) == (content.manifest, expected)


async def test_a_delete_by_digest_removes_all_tags_of_the_manifest(client: HttpClient, either: DevRegistry) -> None:
    digest = either.push("team/app", "1.0", "1", "latest")
    other = either.push("team/app", "2.0", content=image("other"))
    answer = await get(client, either, digest, method="DELETE")
    assert (answer.status, answer.body) == (202, b"")
    assert either.tags("team/app") == {"2.0": other}
    for reference in ("1.0", "latest", digest):
        assert (await get(client, either, reference)).code == "MANIFEST_UNKNOWN"
    again = await get(client, either, digest, method="DELETE")
    assert (again.status, again.code) == (404, "MANIFEST_UNKNOWN")


async def test_a_deleted_manifest_can_be_pushed_again(client: HttpClient, either: DevRegistry) -> None:
    content = FORMS["image"]
    either.push("team/app", "1.0", content=content)
    await get(client, either, content.digest, method="DELETE")
    assert (await put(client, either, "again", content)).status == 201
    assert (await get(client, either, "again")).body == content.manifest


async def test_an_index_stays_when_its_children_are_deleted(client: HttpClient, either: DevRegistry) -> None:
    content = FORMS["index"]
    either.push("team/app", "1.0", content=content)
    assert (await get(client, either, content.children[0].digest, method="DELETE")).status == 202
    assert (await get(client, either, "1.0")).body == content.manifest
    assert (await get(client, either, content.children[0].digest)).status == 404


async def test_3_1_untags_and_2_8_refuses_a_delete_by_tag(
    client: HttpClient, registry: DevRegistry, registry_2_8: DevRegistry
) -> None:
    for tried in (registry, registry_2_8):
        tried.push("team/app", "1.0", "latest")
    assert (await get(client, registry, "1.0", method="DELETE")).status == 202
    assert list(registry.tags("team/app")) == ["latest"]
    assert (await get(client, registry, "latest")).status == 200
    gone = await get(client, registry, "1.0", method="DELETE")
    assert (gone.status, gone.code) == (404, "MANIFEST_UNKNOWN")
    refused = await get(client, registry_2_8, "1.0", method="DELETE")
    assert (refused.status, refused.code) == (400, "DIGEST_INVALID")
    assert set(registry_2_8.tags("team/app")) == {"1.0", "latest"}


async def test_a_blobs_digest_on_the_manifests_route_unlinks_the_blob_in_2_8_only(
    client: HttpClient, registry: DevRegistry, registry_2_8: DevRegistry
) -> None:
    content = FORMS["image"]
    blob = next(iter(content.blobs))
    for tried in (registry, registry_2_8):
        tried.push("team/app", "1.0", content=content)
    kept = await get(client, registry, blob, method="DELETE")
    assert (kept.status, kept.code) == (404, "MANIFEST_UNKNOWN")
    assert registry.holds("team/app", blob)
    assert (await get(client, registry_2_8, blob, method="DELETE")).status == 202
    assert not registry_2_8.holds("team/app", blob)


async def test_2_8_answers_500_for_a_blob_on_the_manifests_route(
    client: HttpClient, registry: DevRegistry, registry_2_8: DevRegistry
) -> None:
    blob = next(iter(FORMS["image"].blobs))
    for tried in (registry, registry_2_8):
        tried.push("team/app", "1.0", content=FORMS["image"])
    assert (await get(client, registry, blob)).code == "MANIFEST_UNKNOWN"
    broken = await get(client, registry_2_8, blob)
    assert (broken.status, broken.code) == (500, "UNKNOWN")


async def test_without_deletion_nothing_is_deleted(client: HttpClient) -> None:
    async with DevRegistry(auth="anonymous", deletion_enabled=False) as registry:
        digest = registry.push("team/app", "1.0")
        for reference in (digest, "1.0", ABSENT):
            answer = await get(client, registry, reference, method="DELETE")
            assert (answer.status, answer.code) == (405, "UNSUPPORTED")
        registry.deletion_enabled = True
        assert (await get(client, registry, digest, method="DELETE")).status == 202


async def test_other_methods_are_not_allowed(client: HttpClient, registry: DevRegistry) -> None:
    answer = await get(client, registry, "1.0", method="POST")
    assert (answer.status, answer.headers["Allow"]) == (405, "DELETE, GET, HEAD, PUT")


async def test_a_name_of_more_than_255_characters_is_an_error_500(client: HttpClient, registry: DevRegistry) -> None:
    registry.push("a" * 255, "1.0")
    assert (await client.pull(registry, "a" * 255, "1.0")).status == 200
    answer = await client.pull(registry, "a" * 256, "1.0")
    assert (answer.status, answer.code) == (500, "UNKNOWN")


async def test_a_docker_list_over_oci_children_keeps_their_types(client: HttpClient, registry: DevRegistry) -> None:
    content = index([image("a")], format="docker")
    registry.push("team/app", "1.0", content=content)
    [child] = json.loads((await get(client, registry, "1.0")).body)["manifests"]
    assert (child["mediaType"], child["digest"]) == (OCI_MANIFEST, content.children[0].digest)
