"""Responses with configurations: made once for each configuration, and kept in memory as long as it is."""

from weakref import WeakKeyDictionary

from portus.registry.v1.registry_service_pb2 import GetImageConfigResponse
from portus_gateway.distribution.image_config import ImageConfig
from portus_gateway.distribution.manifest import Manifest
from portus_gateway.operations.image_config import FoundConfig
from portus_gateway.rpc import conversion
from portus_gateway.rpc.conversion_thread import ConversionThread


class ConvertedImageConfigs:
    """Converts configurations and remembers the last response of each, since nearly all have one manifest.

    It needs no limit of its own: a response is forgotten with its configuration, and the cache limits those.
    """

    def __init__(self, thread: ConversionThread) -> None:
        self._thread = thread
        self._responses: WeakKeyDictionary[ImageConfig, tuple[Manifest, GetImageConfigResponse]] = WeakKeyDictionary()

    async def response(self, found: FoundConfig) -> GetImageConfigResponse:
        """The response with this configuration, which must not be changed."""
        manifest, known = self._responses.get(found.config, (None, None))
        if known is not None and manifest is found.manifest:
            return known
        made = await self._thread.convert(_response, found, entries=found.config.entries)
        self._responses[found.config] = (found.manifest, made)
        return made


def _response(found: FoundConfig) -> GetImageConfigResponse:
    response = GetImageConfigResponse()
    conversion.fill_image_config(response.image_config, found)
    return response
