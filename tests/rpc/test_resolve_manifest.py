"""ResolveManifest. Errors in a request are the same in BatchResolveManifests."""

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from portus.registry.v1.manifest_pb2 import Descriptor, Platform
from portus.registry.v1.registry_service_pb2 import GetManifestRequest, ResolveManifestRequest
from portus_gateway.devregistry import DevRegistry, image, index, multi_platform, raw_manifest
from portus_gateway.distribution import Descriptor as DescriptorValue
from portus_gateway.distribution import Manifest
from portus_gateway.distribution.manifest import OCI_INDEX, OCI_MANIFEST
from tests.rpc.failures import failure_of, read
from tests.rpc.gateways import Gateway, serve
from tests.rpc.resolve_calls import ARM64, PLAN9, ask, asking_for, batch
from tests.rpc.scripted_registry import DIGEST, ScriptedRegistry


async def test_a_tag_and_a_digest_lead_to_the_same(registry: DevRegistry, gateway: Gateway) -> None:
    content = image("app")
    registry.push("team/app", "1.0", content=content)
    due = Descriptor(media_type=OCI_MANIFEST, digest=content.digest, size=len(content.manifest))
    assert await ask(gateway, "1.0") == due
    assert await ask(gateway, content.digest) == due
    assert registry.requests.count(route="manifests", method="GET") == 0


async def test_an_index_is_answered_as_what_it_is(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0", content=multi_platform("app"))
    answer = await ask(gateway, "1.0")
    assert (answer.media_type, answer.digest) == (OCI_INDEX, digest)


async def test_a_size_that_the_registry_does_not_say_is_unset() -> None:
    sizeless = Manifest(DescriptorValue(OCI_MANIFEST, DIGEST), b"", None)
    async with serve(ScriptedRegistry(manifest=sizeless)) as gateway:
        answer = await ask(gateway, "1.0")
    assert answer == Descriptor(media_type=OCI_MANIFEST, digest=DIGEST.text)
    assert not answer.HasField("size")


async def test_what_there_is_not(registry: DevRegistry, gateway: Gateway) -> None:
    unknown = await failure_of(ask(gateway, "1.0"))
    assert unknown.outcome == (grpc.StatusCode.NOT_FOUND, "MANIFEST_UNKNOWN")
    assert unknown.resource == ("manifest", "team/app:1.0")
    registry.push("team/app", "1.0")
    other = await failure_of(ask(gateway, "2.0"))
    assert other.outcome == (grpc.StatusCode.NOT_FOUND, "MANIFEST_UNKNOWN")
    assert other.resource == ("manifest", "team/app:2.0")
    digest = f"sha256:{'0' * 64}"
    gone = await failure_of(ask(gateway, digest))
    assert gone.outcome == (grpc.StatusCode.NOT_FOUND, "MANIFEST_UNKNOWN")
    assert gone.resource == ("manifest", f"team/app@{digest}")


async def test_for_a_platform_it_is_the_manifest_that_get_manifest_answers_with(
    registry: DevRegistry, gateway: Gateway
) -> None:
    content = multi_platform("app", ["linux/amd64", "linux/arm64"])
    registry.push("team/app", "1.0", content=content)
    registry.push("team/app", "nested", content=index([content]))
    registry.push("team/app", "image", content=image("app"))
    for tag in ("1.0", "nested", "image"):
        request = GetManifestRequest(repository="team/app", tag=tag, platform=ARM64)
        got = (await gateway.stub.GetManifest(request, timeout=10)).manifest.descriptor
        assert await ask(gateway, tag, ARM64) == got
    assert (await ask(gateway, "1.0", ARM64)).digest == content.children[1].digest
    unknown = await failure_of(ask(gateway, "1.0", PLAN9))
    assert unknown.outcome == (grpc.StatusCode.NOT_FOUND, "PLATFORM_UNKNOWN")
    assert "linux/arm64" in unknown.message


async def test_an_index_that_cannot_be_read_is_resolved_and_has_no_image_for_a_platform(
    registry: DevRegistry, gateway: Gateway
) -> None:
    content = raw_manifest(b'{"schemaVersion": 2, "manifests": [], "Manifests": []}', OCI_INDEX)
    registry.push("team/app", "1.0", content=content)
    assert (await ask(gateway, "1.0")).digest == content.digest
    undecided = await failure_of(ask(gateway, "1.0", ARM64))
    assert undecided.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "PLATFORM_UNDECIDED")


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (ResolveManifestRequest(), ["repository", "reference"]),
        (
            ResolveManifestRequest(repository="A", tag="-", platform=Platform(), max_staleness=Duration(seconds=-1)),
            ["repository", "tag", "platform.os", "platform.architecture", "max_staleness"],
        ),
    ],
)
async def test_all_bad_fields_are_named_at_once(
    gateway: Gateway, request_: ResolveManifestRequest, fields: list[str]
) -> None:
    refused = await failure_of(gateway.stub.ResolveManifest(request_, timeout=10))
    assert refused.outcome == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert list(refused.fields) == fields
    (result,) = await batch(gateway, request_)
    assert list(read(result.status).fields) == fields


@pytest.mark.parametrize("platform", [None, ARM64])
async def test_max_staleness_is_passed_on(platform: Platform | None) -> None:
    registry = ScriptedRegistry()
    request = asking_for("1.0", platform)
    request.max_staleness.CopyFrom(Duration(seconds=1, nanos=500_000_000))
    async with serve(registry) as gateway:
        await gateway.stub.ResolveManifest(request, timeout=10)
        await batch(gateway, request, asking_for("1.0"))
    assert sorted(registry.staleness) == [0, 1.5, 1.5]
