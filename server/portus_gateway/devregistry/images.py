"""Builds content to push: images, indexes and artifacts. Equal arguments give equal bytes and digests."""

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from portus_gateway.devregistry.digests import digest_of
from portus_gateway.devregistry.errors import Json
from portus_gateway.devregistry.media_types import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

Format = Literal["oci", "docker"]
Algorithm = Literal["sha256", "sha512"]

_CREATED = "2024-05-01T12:00:00Z"
_EMPTY = b"{}"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_CONFIG_TYPES = {
    "oci": "application/vnd.oci.image.config.v1+json",
    "docker": "application/vnd.docker.container.image.v1+json",
}
_LAYER_TYPES = {
    "oci": "application/vnd.oci.image.layer.v1.tar+gzip",
    "docker": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}


@dataclass(frozen=True, slots=True)
class Content:
    """The exact bytes of a manifest, with everything that it refers to."""

    manifest: bytes
    media_type: str
    algorithm: Algorithm = "sha256"
    """The algorithm of the digest under which the manifest is stored."""
    blobs: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    """By digest."""
    children: "tuple[Content, ...]" = ()
    platform: str = ""

    @property
    def digest(self) -> str:
        return digest_of(self.manifest, self.algorithm)


def image(
    seed: str = "",
    *,
    platform: str = "linux/amd64",
    layers: int = 1,
    layer_size: int = 256,
    format: Format = "oci",  # noqa: A002 - the usual word
    annotations: Mapping[str, str] | None = None,
    algorithm: Algorithm = "sha256",
    created: str | None = _CREATED,
) -> Content:
    """An image that can be pulled and unpacked: a config, and gzipped tar layers with one file each.

    Images with different seeds have different digests. `layer_size` is the size of each layer's file in bytes.
    `platform` is `<os>/<architecture>[/<variant>]`. `created` is a time as in RFC 3339; None for an image without one.
    """
    packed: list[bytes] = []
    unpacked_digests: list[Json] = []
    for number in range(layers):
        tar = _tar(f"layer-{number}.txt", f"{seed} {platform} {number}\n", layer_size)
        packed.append(gzip.compress(tar, mtime=0))
        unpacked_digests.append(digest_of(tar))
    stated: dict[str, Json] = {} if created is None else {"created": created}
    history: list[Json] = [{**stated, "created_by": f"COPY layer-{number}.txt /"} for number in range(layers)]
    config = _json(
        {
            **stated,
            **_platform(platform),
            "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "Labels": {"seed": seed}},
            "rootfs": {"type": "layers", "diff_ids": unpacked_digests},
            "history": history,
        }
    )
    document: dict[str, Json] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST if format == "oci" else DOCKER_MANIFEST,
        "config": _descriptor(config, _CONFIG_TYPES[format]),
        "layers": [_descriptor(layer, _LAYER_TYPES[format]) for layer in packed],
    }
    if annotations:
        document["annotations"] = dict(annotations)
    media_type = OCI_MANIFEST if format == "oci" else DOCKER_MANIFEST
    return Content(_json(document), media_type, algorithm, _by_digest(config, *packed), (), platform)


def index(
    children: Sequence[Content],
    *,
    format: Format = "oci",  # noqa: A002 - the usual word
    annotations: Mapping[str, str] | None = None,
    algorithm: Algorithm = "sha256",
) -> Content:
    """An OCI index, or a Docker manifest list, over these manifests."""
    media_type = OCI_INDEX if format == "oci" else DOCKER_LIST
    manifests: list[Json] = []
    for child in children:
        descriptor: dict[str, Json] = {
            "mediaType": child.media_type,
            "digest": child.digest,
            "size": len(child.manifest),
        }
        if child.platform:
            descriptor["platform"] = _platform(child.platform)
        manifests.append(descriptor)
    document: dict[str, Json] = {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}
    if annotations:
        document["annotations"] = dict(annotations)
    return Content(_json(document), media_type, algorithm, children=tuple(children))


def multi_platform(
    seed: str = "",
    platforms: Sequence[str] = ("linux/amd64", "linux/arm64"),
    *,
    format: Format = "oci",  # noqa: A002 - the usual word
) -> Content:
    """An index with one image for each platform."""
    return index([image(seed, platform=platform, format=format) for platform in platforms], format=format)


def artifact(
    artifact_type: str,
    files: Mapping[str, bytes] = MappingProxyType({}),
    *,
    media_type: str = "application/octet-stream",
    subject: Content | None = None,
    config: bool = True,
    annotations: Mapping[str, str] | None = None,
) -> Content:
    """An OCI artifact, such as a Helm chart, an SBOM or a signature. `media_type` is the type of its files.

    Without `config` the manifest has no `config`, and without files no `layers` either. Registries refuse a push of
    such a manifest, but some have them.
    """
    document: dict[str, Json] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
    }
    blobs = _by_digest(*files.values())
    if config:
        blobs |= _by_digest(_EMPTY)
        document["config"] = _descriptor(_EMPTY, _EMPTY_TYPE)
    if files or config:
        document["layers"] = [
            {**_descriptor(data, media_type), "annotations": {"org.opencontainers.image.title": name}}
            for name, data in files.items()
        ]
    if subject is not None:
        document["subject"] = {
            "mediaType": subject.media_type,
            "digest": subject.digest,
            "size": len(subject.manifest),
        }
    if annotations:
        document["annotations"] = dict(annotations)
    return Content(_json(document), OCI_MANIFEST, blobs=blobs)


def raw_manifest(document: bytes, media_type: str, *, algorithm: Algorithm = "sha256") -> Content:
    """These bytes as a manifest, whatever they are."""
    return Content(document, media_type, algorithm)


def _json(document: dict[str, Json]) -> bytes:
    return json.dumps(document, indent=2).encode()


def _descriptor(content: bytes, media_type: str) -> dict[str, Json]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def _by_digest(*contents: bytes) -> dict[str, bytes]:
    return {digest_of(content): content for content in contents}


def _platform(text: str) -> dict[str, Json]:
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise ValueError(f"platform {text!r}: write it as <os>/<architecture>[/<variant>]")
    return dict(zip(("os", "architecture", "variant"), parts, strict=False))


def _tar(name: str, text: str, size: int) -> bytes:
    data = (text.encode() * (size // len(text) + 1))[:size]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        entry.mode = 0o644
        archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
