"""Content as OCI image layouts: folders from which skopeo and buildah push."""

import json
from collections.abc import Mapping
from pathlib import Path

from portus_gateway.devregistry import Content

_NAME = "content"


def write_layout(folder: Path, content: Content) -> str:
    """Writes the content as an image layout of the OCI image specification. Answers with skopeo's name for it."""
    folder.mkdir(parents=True)
    (folder / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    descriptor = {
        "mediaType": content.media_type,
        "digest": content.digest,
        "size": len(content.manifest),
        "annotations": {"org.opencontainers.image.ref.name": _NAME},
    }
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [descriptor]}))
    _write_blobs(folder, content)
    return f"oci:{folder}:{_NAME}"


def write_folders(folder: Path, images: Mapping[str, Content]) -> None:
    """Writes each image, by `name:tag`, as a folder for `skopeo sync`."""
    for name, content in images.items():
        home = folder / name
        home.mkdir(parents=True)
        (home / "version").write_text("Directory Transport Version: 1.1\n")
        (home / "manifest.json").write_bytes(content.manifest)
        for digest, blob in content.blobs.items():
            (home / digest.partition(":")[2]).write_bytes(blob)


def _write_blobs(folder: Path, content: Content) -> None:
    for digest, blob in {**content.blobs, content.digest: content.manifest}.items():
        algorithm, _, encoded = digest.partition(":")
        file = folder / "blobs" / algorithm / encoded
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(blob)
    for child in content.children:
        _write_blobs(folder, child)
