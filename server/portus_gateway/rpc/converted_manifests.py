"""The proto form of manifests that stay: made once, kept for as long as the manifest itself is."""

import weakref

from portus.registry.v1 import manifest_pb2, registry_service_pb2
from portus_gateway.distribution.manifest import Manifest
from portus_gateway.rpc import conversion


class ConvertedManifests:
    """Converts manifests, and remembers the result by the manifest's identity: its bytes are too many to compare."""

    def __init__(self) -> None:
        self._converted: dict[int, tuple[weakref.ref[Manifest], registry_service_pb2.GetManifestResponse]] = {}

    def of(self, manifest: Manifest) -> manifest_pb2.Manifest:
        """The manifest as proto, which must not be changed."""
        return self.response(manifest).manifest

    def response(self, manifest: Manifest) -> registry_service_pb2.GetManifestResponse:
        """The response with this manifest, which must not be changed."""
        identity = id(manifest)
        known = self._converted.get(identity)
        if known is not None and known[0]() is manifest:
            return known[1]
        converted = registry_service_pb2.GetManifestResponse(manifest=conversion.manifest(manifest))
        reference = weakref.ref(manifest, lambda ended: self._forget(identity, ended))
        self._converted[identity] = (reference, converted)
        return converted

    def __len__(self) -> int:
        return len(self._converted)

    def _forget(self, identity: int, ended: weakref.ref[Manifest]) -> None:
        # Another manifest may have come to the same address since.
        if self._converted.get(identity, (None,))[0] is ended:
            del self._converted[identity]
