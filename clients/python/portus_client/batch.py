"""Requests and results of `batch_resolve`, `batch_manifests` and `batch_image_configs`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Final, Generic, TypeVar

import grpc

from portus.registry.v1.registry_service_pb2 import (
    BatchGetImageConfigsRequest,
    BatchGetImageConfigsResponse,
    BatchGetManifestsRequest,
    BatchGetManifestsResponse,
    BatchResolveManifestsRequest,
    BatchResolveManifestsResponse,
)
from portus_client import conversion, errors, requests
from portus_client.descriptor import Descriptor, Platform
from portus_client.errors import RegistryError
from portus_client.image_config import ImageConfig
from portus_client.manifest import Manifest

Found = TypeVar("Found")

# The gateway's limit for one call.
CHUNK_SIZE: Final = 1000


@dataclass(frozen=True, slots=True)
class ManifestRequest:
    """One requested descriptor, manifest or configuration, with the arguments of `RegistryClient.manifest`."""

    repository: str
    """The repository: `team/app`."""
    reference: str
    """A tag or a digest."""
    platform: Platform | None = None
    """For an index: return the manifest for this platform. None returns the index itself."""
    max_staleness: timedelta | None = None
    """How old the gateway's knowledge of a tag may be. None checks with the registry."""


@dataclass(frozen=True, slots=True)
class BatchResult(Generic[Found]):
    """The result of one request of a batch."""

    index: int
    """Position of the request in the batch, from 0."""
    request: ManifestRequest
    """The request."""
    outcome: Found | RegistryError
    """What was requested, or the error that `resolve`, `manifest` or `image_config` would raise."""


class Expected:
    """The requests of one call by their positions, and which of them have no result yet."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._missing = set(range(count))

    def check_result(self, index: int) -> None:
        """Notes the result for request `index`. Raises `RegistryError` if it was not requested or comes twice."""
        if index not in self._missing:
            raise _invalid(f"the result for request {index} comes twice or was not requested")
        self._missing.remove(index)

    def check_complete(self) -> None:
        """Raises `RegistryError` if a request has no result. Call it when the call has ended."""
        if self._missing:
            raise _invalid(f"{len(self._missing)} of {self._count} requests have no result")


class Chunk:
    """The requests of one call, and which of them have no result yet."""

    def __init__(self, first: int, wanted: Sequence[ManifestRequest]) -> None:
        self._first = first
        self._wanted = wanted
        self._expected = Expected(len(wanted))

    def references(self) -> BatchResolveManifestsRequest:
        return BatchResolveManifestsRequest(
            requests=[
                requests.resolve(request.repository, request.reference, request.platform, request.max_staleness)
                for request in self._wanted
            ]
        )

    def manifests(self) -> BatchGetManifestsRequest:
        return BatchGetManifestsRequest(
            requests=[
                requests.manifest(request.repository, request.reference, request.platform, request.max_staleness)
                for request in self._wanted
            ]
        )

    def image_configs(self) -> BatchGetImageConfigsRequest:
        return BatchGetImageConfigsRequest(
            requests=[
                requests.image_config(request.repository, request.reference, request.platform, request.max_staleness)
                for request in self._wanted
            ]
        )

    def descriptor_results(self, response: BatchResolveManifestsResponse) -> Iterator[BatchResult[Descriptor]]:
        """The results in one message. Raises `RegistryError` for a result that was not requested or comes twice."""
        for result in response.results:
            yield self._result(result.request_index, conversion.batch_descriptor(result))

    def manifest_results(self, response: BatchGetManifestsResponse) -> Iterator[BatchResult[Manifest]]:
        """As `descriptor_results`."""
        for result in response.results:
            yield self._result(result.request_index, conversion.batch_manifest(result))

    def image_config_results(self, response: BatchGetImageConfigsResponse) -> Iterator[BatchResult[ImageConfig]]:
        """As `descriptor_results`."""
        for result in response.results:
            yield self._result(result.request_index, conversion.batch_image_config(result))

    def _result(self, index: int, outcome: Found | RegistryError) -> BatchResult[Found]:
        self._expected.check_result(index)
        return BatchResult(index=self._first + index, request=self._wanted[index], outcome=outcome)

    def check_complete(self) -> None:
        """As `Expected.check_complete`."""
        self._expected.check_complete()


def chunks(wanted: Iterable[ManifestRequest | tuple[str, str]]) -> Iterator[Chunk]:
    """Splits the requests into chunks of at most `CHUNK_SIZE`. Each chunk is read only when it is needed."""
    rest = iter(wanted)
    first = 0
    while taken := [_request(item) for item in islice(rest, CHUNK_SIZE)]:
        yield Chunk(first, taken)
        first += len(taken)


def _request(wanted: ManifestRequest | tuple[str, str]) -> ManifestRequest:
    return wanted if isinstance(wanted, ManifestRequest) else ManifestRequest(*wanted)


def _invalid(problem: str) -> RegistryError:
    return errors.client_error(grpc.StatusCode.INTERNAL, f"the gateway's response to a batch is invalid: {problem}")
