"""GetManifest."""

import json
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from portus.registry.v1.manifest_pb2 import Manifest, Platform
from portus.registry.v1.registry_service_pb2 import GetManifestRequest, ResolveManifestRequest
from portus_gateway.devregistry import Content, DevRegistry, Fault, artifact, image, index, multi_platform, raw_manifest
from portus_gateway.distribution.manifest import DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST
from portus_gateway.rpc.server import ServerLimits
from tests.rpc.failures import failure_of, read
from tests.rpc.gateways import Gateway, serve, serve_over
from tests.rpc.scripted_registry import ScriptedRegistry


async def get(gateway: Gateway, reference: str, platform: Platform | None = None) -> Manifest:
    """By digest, or by tag."""
    request = GetManifestRequest(repository="team/app", platform=platform)
    if ":" in reference:
        request.digest = reference
    else:
        request.tag = reference
    return (await gateway.stub.GetManifest(request, timeout=10)).manifest


@pytest.mark.parametrize(
    ("content", "media_type", "kind"),
    [
        (image("a", layers=3), OCI_MANIFEST, "image"),
        (image("a", format="docker"), DOCKER_MANIFEST, "image"),
        (image("a", algorithm="sha512"), OCI_MANIFEST, "image"),
        (multi_platform("a"), OCI_INDEX, "index"),
        (multi_platform("a", format="docker"), DOCKER_MANIFEST_LIST, "index"),
        (artifact("application/x", {"a": b"a"}), OCI_MANIFEST, "image"),
        (raw_manifest(b"{}", "application/x"), "application/x", None),
    ],
    ids=["oci", "docker", "sha512", "index", "docker-list", "artifact", "unknown"],
)
async def test_the_exact_bytes_by_digest(
    registry: DevRegistry, gateway: Gateway, content: Content, media_type: str, kind: str | None
) -> None:
    registry.push("team/app", "1.0", content=content)
    answer = await get(gateway, content.digest)
    assert answer.raw == content.manifest
    assert answer.descriptor.digest == content.digest
    assert answer.descriptor.media_type == media_type
    assert answer.descriptor.size == len(content.manifest)
    assert answer.WhichOneof("content") == kind
    assert answer.HasField("content_status") == (kind is None)


async def test_by_tag_what_the_tag_points_to_now(registry: DevRegistry, gateway: Gateway) -> None:
    first = registry.push("team/app", "1.0", content=image("first"))
    assert (await get(gateway, "1.0")).descriptor.digest == first
    second = registry.push("team/app", "1.0", content=image("second"))
    assert (await get(gateway, "1.0")).descriptor.digest == second


async def test_an_index_as_it_is_where_no_platform_is_given(registry: DevRegistry, gateway: Gateway) -> None:
    content = multi_platform("app", ["linux/amd64", "linux/arm64/v8"])
    registry.push("team/app", "1.0", content=content)
    answer = await get(gateway, "1.0")
    assert [(child.platform.architecture, child.digest) for child in answer.index.manifests] == [
        (platform, child.digest) for platform, child in zip(("amd64", "arm64"), content.children, strict=True)
    ]


async def test_the_child_for_a_platform(registry: DevRegistry, gateway: Gateway) -> None:
    content = multi_platform("app", ["linux/amd64", "linux/arm64/v8"])
    registry.push("team/app", "1.0", content=content)
    answer = await get(gateway, "1.0", Platform(os="linux", architecture="arm64"))
    assert answer.raw == content.children[1].manifest
    assert answer.descriptor.digest == content.children[1].digest
    assert answer.image.total_size > 0


async def test_a_platform_of_what_is_no_index_is_ignored(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0", content=image("app", platform="linux/amd64"))
    answer = await get(gateway, "1.0", Platform(os="windows", architecture="amd64"))
    assert answer.descriptor.digest == digest


async def test_a_platform_that_there_is_not(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push("team/app", "1.0", content=multi_platform("app", ["linux/amd64", "linux/arm64/v8"]))
    failed = await failure_of(get(gateway, "1.0", Platform(os="linux", architecture="s390x")))
    assert failed.outcome == (grpc.StatusCode.NOT_FOUND, "PLATFORM_UNKNOWN")
    assert "no manifest for linux/s390x; the index has linux/amd64, linux/arm64/v8" in failed.message
    assert failed.resource == ("manifest", "team/app:1.0")


async def test_a_child_that_is_gone_is_not_found(registry: DevRegistry, gateway: Gateway) -> None:
    content = multi_platform("app")
    registry.push("team/app", "1.0", content=content)
    registry.delete("team/app", content.children[0].digest)
    failed = await failure_of(get(gateway, "1.0", Platform(os="linux", architecture="amd64")))
    assert failed.outcome == (grpc.StatusCode.NOT_FOUND, "MANIFEST_UNKNOWN")
    assert content.children[0].digest in failed.message


async def test_an_index_that_names_no_platform(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push("team/app", "1.0", content=index([artifact("application/x")]))
    failed = await failure_of(get(gateway, "1.0", Platform(os="linux", architecture="amd64")))
    assert failed.outcome == (grpc.StatusCode.NOT_FOUND, "PLATFORM_UNKNOWN")
    assert "names no platform at all" in failed.message


CASES = Path(__file__).parents[1] / "cases/manifests"


@pytest.mark.parametrize(
    ("name", "media_type", "reason"),
    [
        ("a1-annotations-twice", OCI_MANIFEST, "CONTENT_AMBIGUOUS"),
        ("a1-architecture-by-case", OCI_INDEX, "CONTENT_AMBIGUOUS"),
        ("a1-config-twice", OCI_MANIFEST, "CONTENT_AMBIGUOUS"),
        ("a1-layers-by-case", OCI_MANIFEST, "CONTENT_AMBIGUOUS"),
        ("a1-manifests-by-case", OCI_INDEX, "CONTENT_AMBIGUOUS"),
        ("a2-negative-size", OCI_MANIFEST, "CONTENT_INVALID"),
        ("a2-nested-2000", OCI_MANIFEST, "CONTENT_INVALID"),
        ("a2-no-utf8", OCI_MANIFEST, "CONTENT_INVALID"),
        ("b-image-and-index", "application/json", "CONTENT_AMBIGUOUS"),
        ("b-image-and-index", OCI_MANIFEST, "CONTENT_AMBIGUOUS"),
    ],
)
async def test_bytes_without_parsed_content_come_with_the_reason(
    registry: DevRegistry, gateway: Gateway, name: str, media_type: str, reason: str
) -> None:
    raw = (CASES / f"{name}.json").read_bytes()
    digest = registry.push("team/app", "1.0", content=raw_manifest(raw, media_type))
    for reference in ("1.0", digest):
        answer = await get(gateway, reference)
        assert (answer.raw, answer.descriptor.digest, answer.descriptor.size) == (raw, digest, len(raw))
        assert answer.WhichOneof("content") is None
        reported = read(answer.content_status)
        assert reported.outcome == (grpc.StatusCode.FAILED_PRECONDITION, reason)
        assert reported.message


async def test_an_index_of_a_generic_type_is_an_index_for_a_platform_too(
    registry: DevRegistry, gateway: Gateway
) -> None:
    content = multi_platform("app", ["linux/amd64", "linux/arm64"])
    document = json.loads(content.manifest)
    del document["mediaType"]
    for media_type in ("text/plain", "application/json"):
        bare = replace(content, manifest=json.dumps(document).encode(), media_type=media_type)
        digest = registry.push("team/app", "1.0", content=bare)
        answer = await get(gateway, "1.0")
        assert (answer.descriptor.digest, answer.descriptor.media_type) == (digest, OCI_INDEX)
        request = ResolveManifestRequest(repository="team/app", tag="1.0")
        assert (await gateway.stub.ResolveManifest(request)).descriptor == answer.descriptor
        child = await get(gateway, "1.0", Platform(os="linux", architecture="arm64"))
        assert child.descriptor.digest == content.children[1].digest


@pytest.mark.parametrize(
    ("name", "media_type"), [("b-image-and-index", "application/json"), ("a1-manifests-by-case", OCI_INDEX)]
)
async def test_unreadable_content_is_never_the_answer_for_a_platform(
    registry: DevRegistry, gateway: Gateway, name: str, media_type: str
) -> None:
    content = raw_manifest((CASES / f"{name}.json").read_bytes(), media_type)
    registry.push("team/app", "1.0", content=content)
    failed = await failure_of(get(gateway, "1.0", Platform(os="linux", architecture="arm64")))
    assert failed.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "PLATFORM_UNDECIDED")
    assert failed.resource == ("manifest", "team/app:1.0")


async def test_a_refused_redirect_names_the_origin_to_the_operator_alone(
    registry: DevRegistry, gateway: Gateway
) -> None:
    content = multi_platform("app", ["linux/amd64"])
    document = json.loads(content.manifest)
    del document["manifests"][0]["platform"]
    registry.push("team/app", "1.0", content=replace(content, manifest=json.dumps(document).encode()))
    with registry.inject(Fault(route="blobs", redirect="http://10.1.2.3:9000/bucket/key?signature=secret")):
        failed = await failure_of(get(gateway, "1.0", Platform(os="linux", architecture="amd64")))
    assert failed.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "REDIRECT_REFUSED")
    assert "10.1.2.3" not in failed.message
    assert "PORTUS_" not in failed.message
    (call,) = gateway.calls.finished
    assert "http://10.1.2.3:9000" in call.problem
    assert "PORTUS_BLOB_ORIGINS" in call.problem
    assert "secret" not in call.problem


async def test_damaged_bytes_are_never_content(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0")
    with registry.inject(Fault(route="manifests", method="GET", corrupt=True)):
        failed = await failure_of(get(gateway, "1.0"))
    assert failed.outcome == (grpc.StatusCode.DATA_LOSS, "DIGEST_MISMATCH")
    assert failed.facts["expected"] == digest
    assert failed.facts["actual"].startswith("sha256:")


async def test_too_many_bytes_are_never_content(registry: DevRegistry) -> None:
    registry.push("team/app", "1.0")
    async with serve_over(registry, limits=ServerLimits(max_manifest_bytes=100)) as gateway:
        failed = await failure_of(get(gateway, "1.0"))
    assert failed.outcome == (grpc.StatusCode.DATA_LOSS, "UPSTREAM_ANSWER_TOO_LARGE")


@pytest.mark.parametrize(
    ("fault", "code", "reason"),
    [
        (Fault(route="manifests", status=500), grpc.StatusCode.INTERNAL, "UPSTREAM_ERROR"),
        (Fault(route="manifests", status=502), grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNAVAILABLE"),
        (Fault(route="manifests", reset="before"), grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNREACHABLE"),
        (Fault(route="manifests", truncate=True), grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNREACHABLE"),
        (Fault(route="manifests", status=403), grpc.StatusCode.PERMISSION_DENIED, "DENIED"),
        (Fault(route="token", status=401), grpc.StatusCode.INTERNAL, "UPSTREAM_CREDENTIALS_REJECTED"),
        (Fault(route="token", without_rights=True), grpc.StatusCode.PERMISSION_DENIED, "DENIED"),
        (
            Fault(route="manifests", before_authorization=True, realm="http://127.0.0.2:1/token"),
            grpc.StatusCode.INTERNAL,
            "UPSTREAM_REALM_REFUSED",
        ),
        (
            Fault(route="manifests", headers=(("Docker-Content-Digest", "sha256:nonsense"),)),
            grpc.StatusCode.DATA_LOSS,
            "UPSTREAM_ANSWER_INVALID",
        ),
    ],
    ids=["500", "502", "reset", "truncated", "403", "rejected", "no-rights", "realm", "bad-digest"],
)
async def test_what_goes_wrong_upstream(
    registry: DevRegistry, gateway: Gateway, fault: Fault, code: grpc.StatusCode, reason: str
) -> None:
    registry.push("team/app", "1.0")
    with registry.inject(fault):
        failed = await failure_of(get(gateway, "1.0"))
    assert failed.outcome == (code, reason)
    assert registry.password not in failed.message


async def test_how_old_an_answer_may_be_reaches_the_registry() -> None:
    registry = ScriptedRegistry()
    async with serve(registry) as gateway:
        request = GetManifestRequest(repository="team/app", tag="1.0")
        await gateway.stub.GetManifest(request)
        request.max_staleness.CopyFrom(Duration(seconds=1, nanos=500_000_000))
        await gateway.stub.GetManifest(request)
    assert registry.staleness == [0, 1.5]
