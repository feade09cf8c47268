"""`batch_manifests` and `batch_resolve` of both clients."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from datetime import timedelta

import grpc
import pytest

from portus.registry.v1 import registry_service_pb2
from portus_client import (
    AsyncRegistryClient,
    Descriptor,
    Internal,
    Manifest,
    ManifestRequest,
    NotFound,
    Platform,
    RegistryClient,
    RegistryError,
)
from portus_client.batch import CHUNK_SIZE, Chunk
from tests.clients.python import gateway as canned
from tests.clients.python.clients import Client
from tests.clients.python.gateway import BATCH_END, IMAGE_DIGEST, INDEX, Gateway, status

TEN = [("team/app", "1.0")] * 10


def digest(outcome: Manifest | RegistryError) -> str:
    assert isinstance(outcome, Manifest)
    return outcome.descriptor.digest


def batches(gateway: Gateway) -> list[registry_service_pb2.BatchGetManifestsRequest]:
    return [
        request for _, request in gateway.requests if isinstance(request, registry_service_pb2.BatchGetManifestsRequest)
    ]


def test_each_result_says_which_request_it_answers(client: Client) -> None:
    wanted: list[ManifestRequest | tuple[str, str]] = [
        ("team/app", "1.0"),
        ("team/app", INDEX.descriptor.digest),
        ManifestRequest("team/app", "multi", platform=Platform("linux", "arm64")),
    ]

    results = {result.index: result for result in client.batch_manifests(wanted)}

    assert [digest(results[index].outcome) for index in range(3)] == [
        IMAGE_DIGEST,
        INDEX.descriptor.digest,
        canned.ARM64.descriptor.digest,
    ]
    assert results[1].request == ManifestRequest("team/app", INDEX.descriptor.digest)
    assert results[2].request == wanted[2]


def test_results_come_in_the_order_of_the_gateway(client: Client) -> None:
    assert [result.index for result in client.batch_manifests(TEN)] == list(range(10))[::-1]


def test_an_error_is_one_outcome_and_does_not_end_the_batch(client: Client) -> None:
    results = list(client.batch_manifests([("team/app", "1.0"), ("nowhere", "1.0"), ("team/app", "gone")]))

    gone, nowhere, found = (result.outcome for result in results)
    assert digest(found) == IMAGE_DIGEST
    assert isinstance(nowhere, NotFound)
    assert nowhere.reason == "NAME_UNKNOWN"
    assert isinstance(gone, NotFound)
    assert gone.reason == "MANIFEST_UNKNOWN"


def test_each_request_can_have_its_own_arguments(client: Client, gateway: Gateway) -> None:
    list(client.batch_manifests([ManifestRequest("team/app", "1.0", max_staleness=timedelta(seconds=5))]))

    (request,) = batches(gateway)
    assert request.requests[0].max_staleness.ToTimedelta() == timedelta(seconds=5)


def test_a_batch_is_split_into_calls_of_a_thousand(client: Client, gateway: Gateway) -> None:
    results = list(client.batch_manifests(("team/app", "1.0" if n % 2 else "multi") for n in range(2500)))

    assert sorted(result.index for result in results) == list(range(2500))
    for result in results:
        assert digest(result.outcome) == (IMAGE_DIGEST if result.index % 2 else INDEX.descriptor.digest)
    assert [len(batch.requests) for batch in batches(gateway)] == [1000, 1000, 500]


def test_the_next_thousand_are_not_read_before_they_are_needed(client: Client) -> None:
    read = 0

    def wanted() -> Iterator[tuple[str, str]]:
        nonlocal read
        for _ in range(3 * CHUNK_SIZE):
            read += 1
            yield "team/app", "1.0"

    next(iter(client.batch_manifests(wanted())))

    assert read == CHUNK_SIZE


def test_an_empty_batch_makes_no_call(client: Client, gateway: Gateway) -> None:
    assert list(client.batch_manifests([])) == []
    assert gateway.requests == []


def test_a_failed_call_raises_after_its_results(client: Client, gateway: Gateway) -> None:
    gateway.failures[BATCH_END] = [status(grpc.StatusCode.INTERNAL, "the gateway failed", "BUG")]
    results = iter(client.batch_manifests([("team/app", "1.0")]))

    assert digest(next(results).outcome) == IMAGE_DIGEST
    with pytest.raises(Internal, match="the gateway failed"):
        next(results)


def answer(*indexes: int) -> registry_service_pb2.BatchGetManifestsResponse:
    return registry_service_pb2.BatchGetManifestsResponse(
        results=[
            registry_service_pb2.BatchGetManifestsResult(request_index=index, manifest=canned.IMAGE)
            for index in indexes
        ]
    )


@pytest.mark.parametrize("indexes", [(2,), (-1,), (0, 0)])
def test_an_unexpected_result_is_an_error(indexes: tuple[int, ...]) -> None:
    chunk = Chunk(0, [ManifestRequest("team/app", "1.0")] * 2)

    with pytest.raises(RegistryError, match="comes twice or was not requested"):
        list(chunk.manifest_results(answer(*indexes)))


def test_a_missing_result_is_an_error() -> None:
    chunk = Chunk(0, [ManifestRequest("team/app", "1.0")] * 3)
    list(chunk.manifest_results(answer(1)))

    with pytest.raises(RegistryError, match="2 of 3 requests have no result"):
        chunk.check_complete()


def test_an_unknown_kind_of_outcome_is_an_error_of_that_request() -> None:
    chunk = Chunk(0, [ManifestRequest("team/app", "1.0")])
    message = registry_service_pb2.BatchGetManifestsResponse(
        results=[registry_service_pb2.BatchGetManifestsResult(request_index=0)]
    )

    (result,) = chunk.manifest_results(message)

    assert isinstance(result.outcome, RegistryError)
    assert result.outcome.code is grpc.StatusCode.UNKNOWN


def test_stopping_a_batch_early_cancels_the_call(gateway: Gateway) -> None:
    gateway.silent.add(BATCH_END)
    with RegistryClient(gateway.address) as client:
        for result in client.batch_manifests(TEN):
            assert result.index == 9
            break
        assert gateway.batch_ended.wait(10)


async def test_stopping_an_asynchronous_batch_early_cancels_the_call(gateway: Gateway) -> None:
    gateway.silent.add(BATCH_END)
    async with AsyncRegistryClient(gateway.address) as client:
        async with aclosing(client.batch_manifests(TEN)) as results:
            async for result in results:
                assert result.index == 9
                break
        assert await asyncio.to_thread(gateway.batch_ended.wait, 10)


def test_many_references_are_resolved_and_an_error_is_one_outcome(client: Client, gateway: Gateway) -> None:
    wanted: list[ManifestRequest | tuple[str, str]] = [
        ("team/app", "1.0"),
        ManifestRequest("team/app", "multi", Platform("linux", "arm64"), max_staleness=timedelta(seconds=5)),
        ("team/app", "gone"),
    ]

    results = {result.index: result for result in client.batch_resolve(wanted)}

    first, second, third = (results[index].outcome for index in range(3))
    assert isinstance(first, Descriptor)
    assert first.digest == IMAGE_DIGEST
    assert isinstance(second, Descriptor)
    assert second.digest == canned.ARM64.descriptor.digest
    assert isinstance(third, NotFound)
    assert results[2].request == ManifestRequest("team/app", "gone")
    (request,) = (message for rpc, message in gateway.requests if rpc == "BatchResolveManifests")
    assert isinstance(request, registry_service_pb2.BatchResolveManifestsRequest)
    assert request.requests[1].max_staleness.ToTimedelta() == timedelta(seconds=5)
