"""What the registry of the bench holds: written into its storage, which takes seconds where pushing takes minutes.

The layout is that of distribution's `registry/storage/paths.go`, the same in 2.8 and 3.1.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
_LAYERS = 8


@dataclass(frozen=True, slots=True)
class Image:
    """A manifest and its digest."""

    manifest: bytes
    digest: str


def image(name: str) -> Image:
    """An image like those of daily life, some 1.5 KB of manifest; another one for each `name`."""

    def blob(part: str, media_type: str, size: int) -> dict[str, str | int]:
        digest = hashlib.sha256(f"{name} {part}".encode()).hexdigest()
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}

    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": blob("config", _CONFIG_TYPE, 7023),
        "layers": [blob(f"layer {number}", _LAYER_TYPE, 1_000_000 + number) for number in range(_LAYERS)],
    }
    raw = json.dumps(manifest, indent=3).encode()
    return Image(raw, f"sha256:{hashlib.sha256(raw).hexdigest()}")


def put_image(storage: Path, repository: str, tags: list[str], content: Image) -> None:
    """Puts an image under `repository`, with all of `tags` on it."""
    home = _home(storage, repository)
    encoded = content.digest.removeprefix("sha256:")
    _write(_root(storage) / "blobs/sha256" / encoded[:2] / encoded / "data", content.manifest)
    (home / "_layers").mkdir(parents=True, exist_ok=True)
    link = content.digest.encode()
    _write(home / "_manifests/revisions/sha256" / encoded / "link", link)
    for tag in tags:
        _write(home / "_manifests/tags" / tag / "index/sha256" / encoded / "link", link)
        _write(home / "_manifests/tags" / tag / "current/link", link)


def put_image_with_configuration(storage: Path, repository: str, tag: str, created: str) -> None:
    """Puts an image under a tag of `repository`, with a configuration of some 7 KB; another one for each tag."""
    content = image(f"{repository}:{tag}")
    document = json.loads(content.manifest)
    steps = [{"created": created, "created_by": f"COPY step {number} {'x' * 150}"} for number in range(30)]
    configuration = json.dumps(
        {
            "created": created,
            "os": "linux",
            "architecture": "amd64",
            "config": {"Labels": {"tag": tag}, "Cmd": ["/app"]},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in document["layers"]]},
            "history": steps,
        }
    ).encode()
    encoded = hashlib.sha256(configuration).hexdigest()
    document["config"] |= {"digest": f"sha256:{encoded}", "size": len(configuration)}
    raw = json.dumps(document, indent=3).encode()
    put_image(storage, repository, [tag], Image(raw, f"sha256:{hashlib.sha256(raw).hexdigest()}"))
    _write(_root(storage) / "blobs/sha256" / encoded[:2] / encoded / "data", configuration)
    _write(_home(storage, repository) / "_layers/sha256" / encoded / "link", f"sha256:{encoded}".encode())


def put_blob(storage: Path, repository: str, size: int) -> str:
    """Puts a blob of that many zeros into `repository`. Answers with its digest."""
    chunk = bytes(1024 * 1024)
    counted = hashlib.sha256()
    folder = _root(storage) / "blobs"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "new").open("wb") as file:
        for start in range(0, size, len(chunk)):
            part = chunk[: size - start]
            counted.update(part)
            file.write(part)
    encoded = counted.hexdigest()
    home = folder / "sha256" / encoded[:2] / encoded
    home.mkdir(parents=True, exist_ok=True)
    (folder / "new").rename(home / "data")
    _write(_home(storage, repository) / "_layers/sha256" / encoded / "link", f"sha256:{encoded}".encode())
    return f"sha256:{encoded}"


def put_empty_repository(storage: Path, repository: str) -> None:
    """A repository with nothing in it, which the catalog lists all the same."""
    home = _home(storage, repository)
    # 2.8 knows a repository by the first of these, 3.1 by the second (distribution's `registry/storage/catalog.go`).
    (home / "_layers").mkdir(parents=True)
    (home / "_manifests").mkdir()


def _root(storage: Path) -> Path:
    return storage / "docker/registry/v2"


def _home(storage: Path, repository: str) -> Path:
    return _root(storage) / "repositories" / repository


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
