"""BatchResolveManifests."""

from google.rpc.status_pb2 import Status

from portus.registry.v1.registry_service_pb2 import BatchResolveManifestsResult, ResolveManifestRequest
from portus_gateway.access.rpcs import RPCS
from portus_gateway.distribution.manifest import Descriptor
from portus_gateway.operations.platform_selection import descriptor_for
from portus_gateway.registry.protocol import Registry
from portus_gateway.rpc import conversion, request_parsing
from portus_gateway.rpc.batch import Batch


class DescriptorBatch(Batch[ResolveManifestRequest, Descriptor, BatchResolveManifestsResult]):
    """Resolves references in `registry`."""

    def __init__(self, registry: Registry, concurrency: int) -> None:
        super().__init__(RPCS["ResolveManifest"], concurrency)
        self._registry = registry

    async def _find(self, request: ResolveManifestRequest) -> Descriptor:
        wanted = request_parsing.manifest_read(request)
        return await descriptor_for(
            wanted.platform, self._registry, wanted.repository, wanted.reference, wanted.max_staleness
        )

    def _size(self, found: Descriptor) -> int:  # noqa: ARG002
        # A media type and a digest: never large.
        return 0

    async def _result(self, index: int, found: Descriptor) -> BatchResolveManifestsResult:
        return BatchResolveManifestsResult(request_index=index, descriptor=conversion.descriptor(found))

    def _failed(self, index: int, status: Status) -> BatchResolveManifestsResult:
        return BatchResolveManifestsResult(request_index=index, status=status)
