"""Distribution's storage on disk, for content that a registry would not accept by push.

The layout is that of distribution's `registry/storage/paths.go`, the same in 2.8 and 3.1.
"""

from pathlib import Path

from portus_gateway.devregistry import Content


def plant(storage: Path, repository: str, tag: str, content: Content) -> None:
    """Puts `content` under `repository` and `tag`."""
    root = storage / "docker/registry/v2"
    home = root / "repositories" / repository
    for digest, blob in {**content.blobs, content.digest: content.manifest}.items():
        _write(blob_file(storage, digest), blob)
    for digest in content.blobs:
        _write(home / "_layers" / _path(digest) / "link", digest.encode())
    link = content.digest.encode()
    _write(home / "_manifests/revisions" / _path(content.digest) / "link", link)
    _write(home / "_manifests/tags" / tag / "index" / _path(content.digest) / "link", link)
    _write(home / "_manifests/tags" / tag / "current/link", link)


def blob_file(storage: Path, digest: str) -> Path:
    """The file that has the bytes of a blob or manifest."""
    algorithm, _, encoded = digest.partition(":")
    return storage / "docker/registry/v2/blobs" / algorithm / encoded[:2] / encoded / "data"


def _path(digest: str) -> str:
    return digest.replace(":", "/")


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
