"""The request and the results of `batch_delete`."""

from collections.abc import Iterable, Iterator

from portus.registry.v1.registry_service_pb2 import BatchDeleteManifestsRequest, BatchDeleteManifestsResponse
from portus_client import conversion, requests
from portus_client.batch import Expected
from portus_client.deletion import DeletionResult, ManifestDeletion


class DeletionBatch:
    """The deletes of one call, and which of them have no result yet."""

    def __init__(self, repository: str, wanted: Iterable[ManifestDeletion | str], *, validate_only: bool) -> None:
        self._repository = repository
        self._wanted = tuple(ManifestDeletion(item) if isinstance(item, str) else item for item in wanted)
        self._validate_only = validate_only
        self._expected = Expected(len(self._wanted))

    @property
    def is_empty(self) -> bool:
        return not self._wanted

    def request(self) -> BatchDeleteManifestsRequest:
        return BatchDeleteManifestsRequest(
            repository=self._repository,
            requests=[
                requests.delete_manifest(
                    "", item.digest, expected_tags=item.expected_tags, force=item.force, validate_only=False
                )
                for item in self._wanted
            ],
            validate_only=self._validate_only,
        )

    def results(self, response: BatchDeleteManifestsResponse) -> Iterator[DeletionResult]:
        """The results in one message. Raises `RegistryError` for a result that was not requested or comes twice."""
        for result in response.results:
            index = result.request_index
            self._expected.check_result(index)
            yield DeletionResult(index, self._wanted[index], conversion.batch_deleted_manifest(result))

    def check_complete(self) -> None:
        """As `Expected.check_complete`."""
        self._expected.check_complete()
