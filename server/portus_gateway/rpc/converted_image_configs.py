"""Responses with configurations: made once for each configuration, and kept in memory as long as it is."""

from typing import Final
from weakref import WeakKeyDictionary

from portus.registry.v1.registry_service_pb2 import GetImageConfigResponse
from portus_gateway.aio.one_thread import OneThread
from portus_gateway.distribution.image_config import ImageConfig
from portus_gateway.distribution.manifest import Manifest
from portus_gateway.operations.image_config import FoundConfig
from portus_gateway.rpc import conversion

# With more entries than this, the response is made on a thread, so that other calls do not wait.
_MOST_IN_PLACE: Final = 500


class ConvertedImageConfigs:
    """Converts configurations and remembers the last response of each, since nearly all have one manifest.

    It needs no limit of its own: a response is forgotten with its configuration, and the cache limits those.
    """

    def __init__(self, thread: OneThread) -> None:
        self._thread = thread
        self._responses: WeakKeyDictionary[ImageConfig, tuple[Manifest, GetImageConfigResponse]] = WeakKeyDictionary()

    async def response(self, found: FoundConfig) -> GetImageConfigResponse:
        """The response with this configuration, which must not be changed."""
        manifest, known = self._responses.get(found.config, (None, None))
        if known is not None and manifest is found.manifest:
            return known
        if found.config.entries <= _MOST_IN_PLACE:
            made = _response(found)
        else:
            made = await self._thread.run(_response, found)
        self._responses[found.config] = (found.manifest, made)
        return made


def _response(found: FoundConfig) -> GetImageConfigResponse:
    response = GetImageConfigResponse()
    conversion.fill_image_config(response.image_config, found)
    return response
