"""BatchResolveManifests."""

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import ResolveManifestRequest
from portus_gateway.devregistry import DevRegistry, Fault, image, multi_platform
from tests.rpc.failures import failure_of, read
from tests.rpc.gateways import Gateway
from tests.rpc.resolve_calls import ARM64, PLAN9, asking_for, batch


async def test_each_result_of_a_batch_is_what_resolve_manifest_answers(registry: DevRegistry, gateway: Gateway) -> None:
    content = multi_platform("app", ["linux/amd64", "linux/arm64"])
    registry.push("team/app", "1.0", content=content)
    registry.push("team/app", "2.0", content=image("app"))
    requests = [asking_for("1.0"), asking_for("1.0", ARM64), asking_for("2.0"), asking_for("2.0")]
    results = await batch(gateway, *requests)
    singly = [(await gateway.stub.ResolveManifest(request, timeout=10)).descriptor for request in requests]
    assert [result.descriptor for result in results] == singly
    assert [result.descriptor.digest for result in results[:2]] == [content.digest, content.children[1].digest]


async def test_the_failure_of_one_reference_does_not_end_the_batch(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0", content=multi_platform("app"))
    registry.push("team/broken", "1.0")
    registry.inject(Fault(route="manifests", repository="team/broken", status=500))
    requests = [
        asking_for("1.0"),
        asking_for("no-such"),
        asking_for("1.0", PLAN9),
        ResolveManifestRequest(repository="team/broken", tag="1.0"),
        ResolveManifestRequest(repository="Team", tag="1.0"),
        asking_for("1.0"),
    ]
    results = await batch(gateway, *requests)
    assert [results[index].descriptor.digest for index in (0, 5)] == [digest, digest]
    failures = [read(result.status) for result in results[1:5]]
    assert [failure.outcome for failure in failures] == [
        (grpc.StatusCode.NOT_FOUND, "MANIFEST_UNKNOWN"),
        (grpc.StatusCode.NOT_FOUND, "PLATFORM_UNKNOWN"),
        (grpc.StatusCode.INTERNAL, "UPSTREAM_ERROR"),
        (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    ]
    assert failures[0].resource == ("manifest", "team/app:no-such")


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_batch_has_1_to_1000_requests(gateway: Gateway, count: int) -> None:
    refused = await failure_of(batch(gateway, *[asking_for("1.0")] * count))
    assert refused.outcome == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert list(refused.fields) == ["requests"]


async def test_a_batch_of_1000_references_reads_no_manifest(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0")
    results = await batch(gateway, *[asking_for("1.0")] * 1000)
    assert {result.descriptor.digest for result in results} == {digest}
    assert registry.requests.count(route="manifests", method="GET") == 0
