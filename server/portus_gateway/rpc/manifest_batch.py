"""BatchGetManifests."""

from google.rpc.status_pb2 import Status

from portus.registry.v1.registry_service_pb2 import BatchGetManifestsResult, GetManifestRequest
from portus_gateway.access.rpcs import RPCS
from portus_gateway.distribution.manifest import Manifest
from portus_gateway.operations.platform_selection import manifest_for
from portus_gateway.registry.protocol import Registry
from portus_gateway.rpc import request_parsing
from portus_gateway.rpc.batch import Batch
from portus_gateway.rpc.converted_manifests import ConvertedManifests


class ManifestBatch(Batch[GetManifestRequest, Manifest, BatchGetManifestsResult]):
    """Reads manifests from `registry`."""

    def __init__(self, registry: Registry, converted: ConvertedManifests, concurrency: int) -> None:
        super().__init__(RPCS["GetManifest"], concurrency)
        self._registry = registry
        self._converted = converted

    async def _find(self, request: GetManifestRequest) -> Manifest:
        wanted = request_parsing.manifest_read(request)
        return await manifest_for(
            wanted.platform, self._registry, wanted.repository, wanted.reference, wanted.max_staleness
        )

    def _size(self, found: Manifest) -> int:
        return len(found.raw)

    async def _result(self, index: int, found: Manifest) -> BatchGetManifestsResult:
        return BatchGetManifestsResult(request_index=index, manifest=await self._converted.of(found))

    def _failed(self, index: int, status: Status) -> BatchGetManifestsResult:
        return BatchGetManifestsResult(request_index=index, status=status)
