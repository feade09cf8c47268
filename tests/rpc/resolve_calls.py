"""Calls of ResolveManifest and BatchResolveManifests, for the tests of both."""

from portus.registry.v1.manifest_pb2 import Descriptor, Platform
from portus.registry.v1.registry_service_pb2 import (
    BatchResolveManifestsRequest,
    BatchResolveManifestsResult,
    ResolveManifestRequest,
)
from tests.rpc.gateways import Gateway
from tests.rpc.references import with_reference

ARM64 = Platform(os="linux", architecture="arm64")
PLAN9 = Platform(os="plan9", architecture="mips")


def asking_for(reference: str, platform: Platform | None = None) -> ResolveManifestRequest:
    return with_reference(ResolveManifestRequest(repository="team/app", platform=platform), reference)


async def ask(gateway: Gateway, reference: str, platform: Platform | None = None) -> Descriptor:
    return (await gateway.stub.ResolveManifest(asking_for(reference, platform), timeout=10)).descriptor


async def batch(gateway: Gateway, *requests: ResolveManifestRequest) -> list[BatchResolveManifestsResult]:
    """One result for each of the requests, in their order."""
    call = gateway.stub.BatchResolveManifests(BatchResolveManifestsRequest(requests=requests), timeout=20)
    came = [result async for response in call for result in response.results]
    assert sorted(result.request_index for result in came) == list(range(len(requests)))
    return sorted(came, key=lambda result: result.request_index)
