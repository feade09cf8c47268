"""The configurations of the images of one registry."""

from portus_gateway.aio.one_thread import OneThread
from portus_gateway.distribution.blobs import Blobs
from portus_gateway.distribution.image_config import ImageConfig
from portus_gateway.distribution.image_config_parsing import parse_image_config
from portus_gateway.distribution.manifest import Descriptor
from portus_gateway.distribution.names import Repository

# Up to this size in bytes, a configuration is parsed in the event loop. Ordinary ones have at most about 20 KiB.
_PARSED_IN_LOOP = 32 * 1024


class ImageConfigs:
    """Reads configurations from `blobs`, with their limit of size. Large ones are parsed on `thread`."""

    def __init__(self, blobs: Blobs, thread: OneThread) -> None:
        self._blobs = blobs
        self._thread = thread

    async def get(self, repository: Repository, config: Descriptor) -> ImageConfig:
        """The configuration that `config` describes. If its bytes are embedded there, the registry is not asked.

        A parsed manifest has verified embedded bytes (`manifest_parsing`). Raises what `Blobs.get` raises.
        """
        raw = config.data or await self._blobs.get(repository, config.digest)
        if len(raw) <= _PARSED_IN_LOOP:
            return parse_image_config(raw)
        return await self._thread.run(parse_image_config, raw)
