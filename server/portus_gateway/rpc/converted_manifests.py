"""The responses with manifests that stay in memory: made once, kept for as long as the manifest itself is."""

from typing import Final
from weakref import WeakKeyDictionary

from portus.registry.v1 import manifest_pb2, registry_service_pb2
from portus_gateway.aio.one_thread import OneThread
from portus_gateway.distribution.manifest import Manifest
from portus_gateway.rpc import conversion

# Of more entries the response is made on a thread: other calls should not have to wait for it.
_MOST_IN_PLACE: Final = 500


class ConvertedManifests:
    """Converts manifests, and remembers the response of each by its identity: its bytes are too many to compare.

    What it remembers needs no bound of its own: it goes when the manifest goes, and the cache bounds those.
    """

    def __init__(self) -> None:
        self._thread = OneThread("large-responses")
        self._responses: WeakKeyDictionary[Manifest, registry_service_pb2.GetManifestResponse] = WeakKeyDictionary()

    async def of(self, manifest: Manifest) -> manifest_pb2.Manifest:
        """The manifest as proto. Nobody may change it."""
        return (await self.response(manifest)).manifest

    async def response(self, manifest: Manifest) -> registry_service_pb2.GetManifestResponse:
        """The response with this manifest. Nobody may change it."""
        known = self._responses.get(manifest)
        if known is not None:
            return known
        if manifest.entries <= _MOST_IN_PLACE:
            made = _response(manifest)
        else:
            made = await self._thread.run(_response, manifest)
        self._responses[manifest] = made
        return made

    def close(self) -> None:
        """Ends the thread for large manifests."""
        self._thread.close()

    def __len__(self) -> int:
        return len(self._responses)


def _response(manifest: Manifest) -> registry_service_pb2.GetManifestResponse:
    response = registry_service_pb2.GetManifestResponse()
    conversion.fill_manifest(response.manifest, manifest)
    return response
