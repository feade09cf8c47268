"""ResolveManifest."""

import grpc

from portus.registry.v1.manifest_pb2 import Descriptor
from portus.registry.v1.registry_service_pb2 import ResolveManifestRequest
from portus_gateway.devregistry import DevRegistry, image, multi_platform
from portus_gateway.distribution import Descriptor as DescriptorValue
from portus_gateway.distribution import Manifest
from portus_gateway.distribution.manifest import OCI_INDEX, OCI_MANIFEST
from tests.rpc.failures import failure_of
from tests.rpc.gateways import Gateway, serve
from tests.rpc.scripted_registry import DIGEST, ScriptedRegistry


async def ask(gateway: Gateway, reference: str) -> Descriptor:
    """By digest, or by tag."""
    request = ResolveManifestRequest(repository="team/app")
    if ":" in reference:
        request.digest = reference
    else:
        request.tag = reference
    return (await gateway.stub.ResolveManifest(request, timeout=10)).descriptor


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
