"""Manifests that are as large as an attacker would have them."""

import json

from portus_gateway.devregistry import DevRegistry, raw_manifest
from portus_gateway.distribution.manifest import OCI_MANIFEST


def push_large(registry: DevRegistry, repository: str, tag: str, *, size: int = 1_200_000) -> str:
    """Pushes a manifest of about that many bytes; answers with its digest."""
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "size": 1, "digest": "sha256:" + "0" * 64}
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {**layer, "mediaType": "application/vnd.oci.image.config.v1+json"},
        "layers": [layer],
        "annotations": {"padding": "x" * size},
    }
    return registry.push(repository, tag, content=raw_manifest(json.dumps(manifest).encode(), OCI_MANIFEST))
