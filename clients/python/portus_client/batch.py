"""Many manifests in one call: what is asked for, and what became of it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Final

import grpc
from google.rpc.status_pb2 import Status

from portus.registry.v1.registry_service_pb2 import BatchGetManifestsRequest, BatchGetManifestsResponse
from portus_client import conversion, errors, requests
from portus_client.descriptor import Platform
from portus_client.errors import RegistryError
from portus_client.manifest import Manifest

# The gateway takes no more in one call.
CHUNK_SIZE: Final = 1000


@dataclass(frozen=True, slots=True)
class ManifestRequest:
    """Which manifest is wanted: the arguments of `RegistryClient.manifest`."""

    repository: str
    """The repository: `team/app`."""
    reference: str
    """A tag, or a digest."""
    platform: Platform | None = None
    """Of an index, the manifest for this platform. None: the index itself."""
    max_staleness: timedelta | None = None
    """How old the gateway's knowledge of a tag may be. None: checked with the registry."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of one request of a batch."""

    index: int
    """Which request this answers: its position among the requests, from 0."""
    request: ManifestRequest
    """That request."""
    outcome: Manifest | RegistryError
    """The manifest, or the error that `RegistryClient.manifest` would have raised."""


class Chunk:
    """The part of a batch that goes to the gateway in one call, and what of it is not answered yet."""

    def __init__(self, first: int, wanted: Sequence[ManifestRequest]) -> None:
        self._first = first
        self._wanted = wanted
        self._missing = set(range(len(wanted)))

    def message(self) -> BatchGetManifestsRequest:
        return BatchGetManifestsRequest(
            requests=[
                requests.manifest(request.repository, request.reference, request.platform, request.max_staleness)
                for request in self._wanted
            ]
        )

    def results(self, response: BatchGetManifestsResponse) -> Iterator[BatchResult]:
        """What a message of the answer says. Raises `RegistryError` where it answers what nobody asked."""
        for result in response.results:
            if result.request_index not in self._missing:
                raise _unfit(f"it answers request {result.request_index}, which was answered already or never made")
            self._missing.remove(result.request_index)
            yield BatchResult(
                index=self._first + result.request_index,
                request=self._wanted[result.request_index],
                outcome=conversion.batch_outcome(result),
            )

    def check_complete(self) -> None:
        """Raises `RegistryError` where the answer ended without one for every request."""
        if self._missing:
            raise _unfit(f"it ended without a result for {len(self._missing)} of {len(self._wanted)} requests")


def chunks(wanted: Iterable[ManifestRequest | tuple[str, str]]) -> Iterator[Chunk]:
    """Parts of at most `CHUNK_SIZE`; the next one is read only when it is asked for."""
    rest = iter(wanted)
    first = 0
    while taken := [_request(item) for item in islice(rest, CHUNK_SIZE)]:
        yield Chunk(first, taken)
        first += len(taken)


def _request(wanted: ManifestRequest | tuple[str, str]) -> ManifestRequest:
    return wanted if isinstance(wanted, ManifestRequest) else ManifestRequest(*wanted)


def _unfit(what: str) -> RegistryError:
    number: int = grpc.StatusCode.INTERNAL.value[0]
    return errors.from_status(Status(code=number, message=f"the gateway's answer to a batch does not fit: {what}"))
