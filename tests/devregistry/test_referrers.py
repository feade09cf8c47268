"""The referrers API of the flavour `oci-1.1` (OCI distribution-spec 1.1, "Listing Referrers")."""

import re

from portus_gateway.devregistry import Content, DevRegistry, Fault, artifact, image, raw_manifest
from tests.devregistry.http_client import Answer, HttpClient

SUBJECT = image("subject")
SIGNATURE = artifact("application/vnd.example.signature", {"signature": b"signed"}, subject=SUBJECT)
NOTES = [artifact("application/vnd.example.note", {"note": f"{n}".encode()}, subject=SUBJECT) for n in range(5)]


async def referrers(client: HttpClient, registry: DevRegistry, query: str = "", digest: str = SUBJECT.digest) -> Answer:
    return await client.call(registry, "GET", f"/v2/a/referrers/{digest}{query}")


def descriptors(answer: Answer) -> list[dict[str, object]]:
    assert answer.status == 200
    manifests = answer.json()["manifests"]
    assert isinstance(manifests, list)
    return manifests


def digests(answer: Answer) -> list[object]:
    return [descriptor["digest"] for descriptor in descriptors(answer)]


async def push(client: HttpClient, registry: DevRegistry, content: Content) -> Answer:
    """Pushes the manifest over HTTP. Its blobs are there already."""
    registry.push("a", content=content)
    registry.delete("a", content.digest)
    return await client.put_manifest(registry, "a", content.digest, content)


async def test_a_referrer_is_listed_with_its_descriptor(client: HttpClient, oci: DevRegistry) -> None:
    answer = await push(client, oci, SIGNATURE)
    assert (answer.status, answer.headers["OCI-Subject"]) == (201, SUBJECT.digest)
    listed = await referrers(client, oci)
    assert listed.headers["Content-Type"] == "application/vnd.oci.image.index.v1+json"
    assert listed.json() == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": SIGNATURE.digest,
                "size": len(SIGNATURE.manifest),
                "artifactType": "application/vnd.example.signature",
            }
        ],
    }


async def test_an_image_is_pushed_without_the_header(client: HttpClient, oci: DevRegistry) -> None:
    assert "OCI-Subject" not in (await push(client, oci, SUBJECT)).headers


async def test_the_type_of_an_artifact_is_that_of_its_config_where_it_names_none(
    client: HttpClient, oci: DevRegistry
) -> None:
    manifest = (
        b'{"schemaVersion":2,"config":{"mediaType":"application/vnd.example.config","digest":"x"},'
        b'"annotations":{"a":"b"},"subject":{"digest":"' + SUBJECT.digest.encode() + b'"}}'
    )
    oci.push("a", content=raw_manifest(manifest, "application/vnd.oci.image.manifest.v1+json"))
    [found] = descriptors(await referrers(client, oci))
    assert found["artifactType"] == "application/vnd.example.config"
    assert found["annotations"] == {"a": "b"}


async def test_referrers_are_filtered_by_type(client: HttpClient, oci: DevRegistry) -> None:
    for content in (SIGNATURE, *NOTES):
        oci.push("a", content=content)
    unfiltered = await referrers(client, oci)
    assert digests(unfiltered) == sorted(content.digest for content in (SIGNATURE, *NOTES))
    assert "OCI-Filters-Applied" not in unfiltered.headers
    filtered = await referrers(client, oci, "?artifactType=application/vnd.example.signature")
    assert digests(filtered) == [SIGNATURE.digest]
    assert filtered.headers["OCI-Filters-Applied"] == "artifactType"
    assert digests(await referrers(client, oci, "?artifactType=none")) == []


async def test_referrers_come_in_pages(client: HttpClient, oci: DevRegistry) -> None:
    oci.maximum_page = 2
    for content in (SIGNATURE, *NOTES):
        oci.push("a", content=content)
    found: list[object] = []
    query = "?artifactType=application/vnd.example.note"
    while query:
        page = await referrers(client, oci, query)
        assert page.headers["OCI-Filters-Applied"] == "artifactType"
        assert len(digests(page)) <= 2
        found += digests(page)
        link = re.fullmatch(r'</v2/a/referrers/[^?]*(\?[^>]*)>; rel="next"', page.headers.get("Link", ""))
        query = link[1] if link else ""
    assert found == sorted(content.digest for content in NOTES)


async def test_a_deleted_referrer_is_not_listed(client: HttpClient, oci: DevRegistry) -> None:
    oci.push("a", "signature", content=SIGNATURE)
    oci.delete("a", SIGNATURE.digest)
    assert digests(await referrers(client, oci)) == []


async def test_no_referrers_are_an_empty_index(client: HttpClient, oci: DevRegistry) -> None:
    assert digests(await referrers(client, oci)) == []
    oci.push("a", "1", content=raw_manifest(b"not JSON", "application/vnd.oci.image.manifest.v1+json"))
    assert digests(await referrers(client, oci)) == []


async def test_the_subject_has_to_be_a_digest(client: HttpClient, oci: DevRegistry) -> None:
    answer = await referrers(client, oci, digest="latest")
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")


async def test_distribution_has_no_referrers(
    client: HttpClient, registry: DevRegistry, registry_2_8: DevRegistry
) -> None:
    for tried in (registry, registry_2_8):
        tried.push("a", content=SIGNATURE)
        answer = await referrers(client, tried)
        assert (answer.status, answer.body) == (404, b"404 page not found\n")


async def test_referrers_need_the_right_to_pull(client: HttpClient) -> None:
    async with DevRegistry(flavour="oci-1.1") as registry:
        registry.push("a", content=SIGNATURE)
        refused = await client.send("GET", f"{registry.url}/v2/a/referrers/{SUBJECT.digest}")
        assert refused.status == 401
        assert 'scope="repository:a:pull"' in refused.headers["WWW-Authenticate"]
        assert digests(await referrers(client, registry)) == [SIGNATURE.digest]


async def test_a_fault_may_repeat_the_link(client: HttpClient, oci: DevRegistry) -> None:
    with oci.inject(Fault.parse("referrers:link=repeat")):
        answer = await referrers(client, oci)
    assert answer.headers["Link"] == f'</v2/a/referrers/{SUBJECT.digest}>; rel="next"'
