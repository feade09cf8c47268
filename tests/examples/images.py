"""Images that the examples look for: with a setuid file, with a signature as cosign makes it, with an SBOM."""

import base64
import gzip
import io
import json
import tarfile
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from portus_gateway.devregistry import Content
from portus_gateway.devregistry.digests import digest_of
from portus_gateway.devregistry.media_types import OCI_MANIFEST

_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
_PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"


def image_of_files(modes: Mapping[str, int]) -> Content:
    """An image with one layer, which has a file of each mode."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, mode in modes.items():
            entry = tarfile.TarInfo(name)
            entry.mode = mode
            entry.size = 4
            archive.addfile(entry, io.BytesIO(b"text"))
    layer = gzip.compress(packed.getvalue(), mtime=0)
    rootfs = {"type": "layers", "diff_ids": [digest_of(packed.getvalue())]}
    config = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": rootfs}).encode()
    return _manifest((config, _CONFIG_TYPE), (layer, _LAYER_TYPE, {}))


def signature_of(digest: str, key: EllipticCurvePrivateKey) -> Content:
    """What `cosign sign --key` pushes for the image with this digest."""
    critical = {"identity": {"docker-reference": ""}, "image": {"docker-manifest-digest": digest}, "type": "signature"}
    payload = json.dumps({"critical": critical, "optional": None}).encode()
    signature = base64.b64encode(key.sign(payload, ECDSA(SHA256()))).decode()
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest_of(payload)]}}).encode()
    return _manifest(
        (config, _CONFIG_TYPE), (payload, _PAYLOAD_TYPE, {"dev.cosignproject.cosign/signature": signature})
    )


def cosign_tag(digest: str, kind: str) -> str:
    """The tag that cosign keeps a signature (`sig`) or an SBOM (`sbom`) under."""
    return f"{digest.replace(':', '-')}.{kind}"


def _manifest(config: tuple[bytes, str], layer: tuple[bytes, str, dict[str, str]]) -> Content:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": config[1], "digest": digest_of(config[0]), "size": len(config[0])},
        "layers": [
            {"mediaType": layer[1], "digest": digest_of(layer[0]), "size": len(layer[0]), "annotations": layer[2]}
        ],
    }
    blobs = {digest_of(content): content for content in (config[0], layer[0])}
    return Content(json.dumps(document).encode(), OCI_MANIFEST, blobs=blobs)
