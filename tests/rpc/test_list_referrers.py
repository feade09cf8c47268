"""ListReferrers over the registry in memory: with and without the referrers API."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import grpc
import pytest

from portus.registry.v1.referrer_pb2 import Referrer
from portus.registry.v1.registry_service_pb2 import ListReferrersRequest, ReadBlobRequest
from portus_gateway.devregistry import Content, DevRegistry, Fault, artifact, image, index, raw_manifest
from portus_gateway.devregistry.flavours import Flavour
from tests.rpc.failures import failure_of, read
from tests.rpc.gateways import Gateway, serve_over

APP = image("app")
SBOM_TYPE, SIGNATURE_TYPE = "application/spdx+json", "application/vnd.dev.cosign.artifact.sig.v1+json"
SBOM = artifact(SBOM_TYPE, {"sbom": b'{"spdx": 1}'}, subject=APP, annotations={"made": "today"})
SIGNATURE = artifact(SIGNATURE_TYPE, {"payload": b"{}"}, subject=APP)
NOTES = [artifact("text/note", {"note": f"{n}".encode()}, subject=APP) for n in range(5)]
API, FALLBACK, COSIGN = Referrer.REFERRERS_API, Referrer.FALLBACK_TAG, Referrer.COSIGN_TAG


def cosign_manifest(layer: bytes, media_type: str) -> Content:
    """What cosign pushes: an image manifest without an artifact type and without a subject."""
    plain = artifact("", {"payload": layer}, media_type=media_type)
    document = json.loads(plain.manifest)
    del document["artifactType"]
    return Content(json.dumps(document).encode(), plain.media_type, blobs=plain.blobs)


COSIGN_SIGNATURE = cosign_manifest(b"signed", "application/vnd.dev.cosign.simplesigning.v1+json")


def cosign_tag(suffix: str, subject: Content = APP) -> str:
    return f"{subject.digest.replace(':', '-')}.{suffix}"


def fallback_index(*referrers: Content, typed: bool = True) -> Content:
    document = json.loads(index(list(referrers)).manifest)
    if typed:
        for descriptor, referrer in zip(document["manifests"], referrers, strict=True):
            descriptor["artifactType"] = json.loads(referrer.manifest)["artifactType"]
    return Content(json.dumps(document).encode(), index([]).media_type)


@asynccontextmanager
async def registry_with(
    *referrers: Content, flavour: Flavour = "oci-1.1"
) -> AsyncIterator[tuple[DevRegistry, Gateway]]:
    """A registry with `APP` and these referrers, which a registry without the API has under the fallback tag."""
    async with DevRegistry(flavour=flavour) as registry, serve_over(registry) as gateway:
        registry.push("team/app", "1.0", content=APP)
        for referrer in referrers:
            registry.push("team/app", content=referrer)
        if flavour != "oci-1.1" and referrers:
            registry.push("team/app", APP.digest.replace(":", "-"), content=fallback_index(*referrers))
        yield registry, gateway


async def listed(
    gateway: Gateway, *, digest: str = APP.digest, artifact_type: str = "", page_size: int = 0
) -> list[Referrer]:
    request = ListReferrersRequest(
        repository="team/app", digest=digest, artifact_type=artifact_type, page_size=page_size
    )
    found: list[Referrer] = []
    while True:
        page = await gateway.stub.ListReferrers(request, timeout=10)
        assert not page_size or len(page.referrers) <= page_size
        found += page.referrers
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def digests(found: list[Referrer]) -> list[str]:
    return sorted(referrer.descriptor.digest for referrer in found)


FLAVOURS = pytest.mark.parametrize("flavour", ["oci-1.1", "3.1", "2.8"])


@FLAVOURS
async def test_signatures_and_sboms_are_listed_and_read_in_two_calls(flavour: Flavour) -> None:
    async with registry_with(SBOM, SIGNATURE, flavour=flavour) as (registry, gateway):
        registry.push("team/app", cosign_tag("sig"), content=COSIGN_SIGNATURE)
        found = await listed(gateway)
        by_digest = {each.descriptor.digest: each for each in found}
        assert set(by_digest) == {SBOM.digest, SIGNATURE.digest, COSIGN_SIGNATURE.digest}
        source, tag = (API, "") if flavour == "oci-1.1" else (FALLBACK, APP.digest.replace(":", "-"))
        sbom, signature = by_digest[SBOM.digest], by_digest[COSIGN_SIGNATURE.digest]
        assert (sbom.source, sbom.tag, sbom.descriptor.artifact_type) == (source, tag, SBOM_TYPE)
        assert dict(sbom.descriptor.annotations) == {"made": "today"}
        assert (signature.source, signature.tag) == (COSIGN, cosign_tag("sig"))
        assert signature.descriptor.artifact_type == "application/vnd.dev.cosign.simplesigning.v1+json"
        assert not any(each.HasField("layers_status") for each in found)
        for each, content in ((sbom, b'{"spdx": 1}'), (signature, b"signed")):
            (layer,) = each.layers
            request = ReadBlobRequest(repository="team/app", digest=layer.digest)
            chunks = [message.chunk async for message in gateway.stub.ReadBlob(request, timeout=10)]
            assert b"".join(chunks) == content


@FLAVOURS
@pytest.mark.parametrize("artifact_type", [SBOM_TYPE, "application/vnd.dev.cosign.simplesigning.v1+json", "text/none"])
async def test_only_one_type(flavour: Flavour, artifact_type: str) -> None:
    async with registry_with(SBOM, SIGNATURE, flavour=flavour) as (registry, gateway):
        registry.push("team/app", cosign_tag("sig"), content=COSIGN_SIGNATURE)
        expected = [
            content.digest
            for kind, content in (
                (SBOM_TYPE, SBOM),
                ("application/vnd.dev.cosign.simplesigning.v1+json", COSIGN_SIGNATURE),
            )
            if kind == artifact_type
        ]
        assert digests(await listed(gateway, artifact_type=artifact_type)) == expected


async def test_a_registry_that_ignores_the_filter() -> None:
    async with registry_with(SBOM, SIGNATURE) as (registry, gateway):
        unfiltered = fallback_index(SBOM, SIGNATURE).manifest
        ignoring = Fault(route="referrers", body=unfiltered, without_headers=("OCI-Filters-Applied",))
        with registry.inject(ignoring):
            assert digests(await listed(gateway, artifact_type=SBOM_TYPE)) == [SBOM.digest]


async def test_the_type_of_a_referrer_that_its_index_does_not_state() -> None:
    async with registry_with(flavour="3.1") as (registry, gateway):
        for referrer in (SBOM, SIGNATURE):
            registry.push("team/app", content=referrer)
        registry.push("team/app", APP.digest.replace(":", "-"), content=fallback_index(SBOM, SIGNATURE, typed=False))
        (only,) = await listed(gateway, artifact_type=SBOM_TYPE)
        assert (only.descriptor.digest, only.descriptor.artifact_type) == (SBOM.digest, SBOM_TYPE)


async def test_an_empty_answer_of_the_api_does_not_hide_the_fallback_tag() -> None:
    async with registry_with(flavour="oci-1.1") as (registry, gateway):
        registry.push("team/app", content=SBOM)
        registry.push("team/app", APP.digest.replace(":", "-"), content=fallback_index(SBOM))
        with registry.inject(Fault(route="referrers", body=index([]).manifest)):
            for artifact_type in ("", SBOM_TYPE):
                (only,) = await listed(gateway, artifact_type=artifact_type)
                assert (only.descriptor.digest, only.source) == (SBOM.digest, FALLBACK)
            assert await listed(gateway, artifact_type=SIGNATURE_TYPE) == []


async def test_what_a_fallback_index_says_is_not_believed() -> None:
    """Anybody who may push can write it. The manifests say what they are, and what they refer to."""
    of_another = artifact(SBOM_TYPE, {"sbom": b'{"spdx": 2}'}, subject=image("another"))
    forged = json.loads(fallback_index(SBOM, of_another, APP, typed=False).manifest)
    for entry in forged["manifests"]:
        entry |= {"size": 7, "artifactType": SBOM_TYPE, "annotations": {"made": "up"}}
    forged["manifests"][0]["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json"
    async with registry_with(flavour="3.1") as (registry, gateway):
        for content in (SBOM, of_another):
            registry.push("team/app", content=content)
        made = Content(json.dumps(forged).encode(), index([]).media_type)
        registry.push("team/app", APP.digest.replace(":", "-"), content=made)
        found = {each.descriptor.digest: each for each in await listed(gateway)}
        assert set(found) == {SBOM.digest, of_another.digest, APP.digest}
        real = found[SBOM.digest]
        assert not real.HasField("layers_status")
        assert (real.descriptor.size, real.descriptor.media_type) == (len(SBOM.manifest), SBOM.media_type)
        assert (real.descriptor.artifact_type, dict(real.descriptor.annotations)) == (SBOM_TYPE, {"made": "today"})
        for digest in (of_another.digest, APP.digest):
            told = read(found[digest].layers_status)
            assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CONTENT_INVALID")
            assert "subject" in told.message
            assert list(found[digest].layers) == []


@FLAVOURS
@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 8, 100])
async def test_pages(flavour: Flavour, page_size: int) -> None:
    async with registry_with(*NOTES, flavour=flavour) as (registry, gateway):
        registry.maximum_page = 2
        for suffix in ("sig", "att", "sbom"):
            registry.push("team/app", cosign_tag(suffix), content=cosign_manifest(suffix.encode(), "text/plain"))
        found = await listed(gateway, page_size=page_size)
        assert [each.source for each in found] == [API if flavour == "oci-1.1" else FALLBACK] * 5 + [COSIGN] * 3
        assert digests(found[:5]) == sorted(note.digest for note in NOTES)
        assert [each.tag.rpartition(".")[2] for each in found[5:]] == ["att", "sbom", "sig"]


@FLAVOURS
async def test_an_image_without_referrers_has_none(flavour: Flavour) -> None:
    async with registry_with(flavour=flavour) as (_, gateway):
        assert await listed(gateway) == []
        # Neither need the image exist.
        assert await listed(gateway, digest=image("other").digest) == []
        assert await listed(gateway, digest=f"sha512:{hashlib.sha512(b'x').hexdigest()}") == []


@FLAVOURS
async def test_an_unknown_repository_is_not_an_image_without_referrers(flavour: Flavour) -> None:
    async with registry_with(flavour=flavour) as (_, gateway):
        request = ListReferrersRequest(repository="team/absent", digest=APP.digest)
        told = await failure_of(gateway.stub.ListReferrers(request, timeout=10))
    assert told.outcome == (grpc.StatusCode.NOT_FOUND, "NAME_UNKNOWN")


@FLAVOURS
@pytest.mark.parametrize("route", ["referrers", "manifests"])
async def test_an_error_is_no_empty_list(flavour: Flavour, route: Literal["referrers", "manifests"]) -> None:
    async with registry_with(flavour=flavour) as (registry, gateway):
        request = ListReferrersRequest(repository="team/app", digest=APP.digest)
        with registry.inject(Fault(route=route, status=500)):
            told = await failure_of(gateway.stub.ListReferrers(request, timeout=10))
    assert told.outcome == (grpc.StatusCode.INTERNAL, "UPSTREAM_ERROR")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (APP, "CONTENT_INVALID"),
        (raw_manifest(b'{"schemaVersion": 2}', index([]).media_type), "CONTENT_INVALID"),
        (raw_manifest(b"{", index([]).media_type), "CONTENT_INVALID"),
        (raw_manifest(b"{}", "application/vnd.example.unknown"), "CONTENT_TYPE_UNKNOWN"),
    ],
)
async def test_a_fallback_tag_that_is_no_index(content: Content, reason: str) -> None:
    async with registry_with(flavour="3.1") as (registry, gateway):
        registry.push("team/app", APP.digest.replace(":", "-"), content=content)
        request = ListReferrersRequest(repository="team/app", digest=APP.digest)
        told = await failure_of(gateway.stub.ListReferrers(request, timeout=10))
    assert told.outcome == (grpc.StatusCode.FAILED_PRECONDITION, reason)


async def test_a_referrer_that_cannot_be_read_has_a_status_and_hides_no_other() -> None:
    async with registry_with(SBOM, SIGNATURE, flavour="3.1") as (registry, gateway):
        registry.delete("team/app", SIGNATURE.digest)
        found = {each.descriptor.digest: each for each in await listed(gateway)}
        assert len(found[SBOM.digest].layers) == 1
        told = read(found[SIGNATURE.digest].layers_status)
        assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "MANIFEST_UNKNOWN")
        assert told.resource == ("manifest", f"team/app@{SIGNATURE.digest}")
        assert list(found[SIGNATURE.digest].layers) == []


async def test_a_list_that_changes_between_pages_is_told() -> None:
    async with registry_with(*NOTES, flavour="3.1") as (registry, gateway):
        request = ListReferrersRequest(repository="team/app", digest=APP.digest, page_size=2)
        request.page_token = (await gateway.stub.ListReferrers(request, timeout=10)).next_page_token
        registry.untag("team/app", APP.digest.replace(":", "-"))
        told = await failure_of(gateway.stub.ListReferrers(request, timeout=10))
        assert told.outcome == (grpc.StatusCode.UNAVAILABLE, "LISTING_CHANGED")
        registry.push("team/app", APP.digest.replace(":", "-"), content=fallback_index(SBOM))
        told = await failure_of(gateway.stub.ListReferrers(request, timeout=10))
        assert told.outcome == (grpc.StatusCode.UNAVAILABLE, "LISTING_CHANGED")


async def test_large_referrers_are_spread_over_pages() -> None:
    large = [
        artifact("text/large", {"file": b"x"}, subject=APP, annotations={"text": f"{n}" + "x" * 900_000})
        for n in range(4)
    ]
    async with registry_with(*large) as (_, gateway):
        request = ListReferrersRequest(repository="team/app", digest=APP.digest)
        page = await gateway.stub.ListReferrers(request, timeout=10)
        assert 1 <= len(page.referrers) < 4
        assert page.ByteSize() < 4 * 1024 * 1024
        assert digests(await listed(gateway)) == sorted(each.digest for each in large)
