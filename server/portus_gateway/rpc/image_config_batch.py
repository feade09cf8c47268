"""BatchGetImageConfigs."""

from google.rpc.status_pb2 import Status

from portus.registry.v1.registry_service_pb2 import BatchGetImageConfigsResult, GetImageConfigRequest
from portus_gateway.access.rpcs import RPCS
from portus_gateway.operations.image_config import FoundConfig, image_config_for
from portus_gateway.registry.protocol import Registry
from portus_gateway.rpc import request_parsing
from portus_gateway.rpc.batch import Batch
from portus_gateway.rpc.converted_image_configs import ConvertedImageConfigs


class ImageConfigBatch(Batch[GetImageConfigRequest, FoundConfig, BatchGetImageConfigsResult]):
    """Reads configurations from `registry`."""

    def __init__(self, registry: Registry, converted: ConvertedImageConfigs, concurrency: int) -> None:
        super().__init__(RPCS["GetImageConfig"], concurrency)
        self._registry = registry
        self._converted = converted

    async def _find(self, request: GetImageConfigRequest) -> FoundConfig:
        wanted = request_parsing.manifest_read(request)
        return await image_config_for(
            wanted.platform, self._registry, wanted.repository, wanted.reference, wanted.max_staleness
        )

    def _size(self, found: FoundConfig) -> int:
        return len(found.config.raw)

    async def _result(self, index: int, found: FoundConfig) -> BatchGetImageConfigsResult:
        response = await self._converted.response(found)
        return BatchGetImageConfigsResult(request_index=index, image_config=response.image_config)

    def _failed(self, index: int, status: Status) -> BatchGetImageConfigsResult:
        return BatchGetImageConfigsResult(request_index=index, status=status)
