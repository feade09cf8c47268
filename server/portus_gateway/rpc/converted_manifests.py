"""Responses with manifests: made once for each manifest, and kept in memory as long as the manifest is."""

from weakref import WeakKeyDictionary

from portus.registry.v1 import manifest_pb2, registry_service_pb2
from portus_gateway.distribution.manifest import Manifest
from portus_gateway.rpc import conversion
from portus_gateway.rpc.conversion_thread import ConversionThread


class ConvertedManifests:
    """Converts manifests and remembers the response of each manifest object.

    It needs no limit of its own: a response is forgotten with its manifest, and the cache limits the manifests.
    """

    def __init__(self, thread: ConversionThread) -> None:
        self._thread = thread
        self._responses: WeakKeyDictionary[Manifest, registry_service_pb2.GetManifestResponse] = WeakKeyDictionary()

    async def of(self, manifest: Manifest) -> manifest_pb2.Manifest:
        """The manifest as a message, which must not be changed."""
        return (await self.response(manifest)).manifest

    async def response(self, manifest: Manifest) -> registry_service_pb2.GetManifestResponse:
        """The response with this manifest, which must not be changed."""
        known = self._responses.get(manifest)
        if known is not None:
            return known
        made = await self._thread.convert(_response, manifest, entries=manifest.entries)
        self._responses[manifest] = made
        return made

    def __len__(self) -> int:
        return len(self._responses)


def _response(manifest: Manifest) -> registry_service_pb2.GetManifestResponse:
    response = registry_service_pb2.GetManifestResponse()
    conversion.fill_manifest(response.manifest, manifest)
    return response
