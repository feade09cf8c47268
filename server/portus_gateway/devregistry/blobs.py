"""`GET`, `HEAD` and `DELETE /v2/<name>/blobs/<digest>`."""

import re

from aiohttp import web

from portus_gateway.devregistry.behaviour import Behaviour
from portus_gateway.devregistry.digests import is_digest
from portus_gateway.devregistry.errors import RegistryError, error_response
from portus_gateway.devregistry.storage import Storage

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def get_blob(storage: Storage, request: web.BaseRequest, name: str, digest: str) -> web.Response:
    """The blob, or the one range of it that is asked for. Several ranges are answered with all of it."""
    _check(digest)
    content = storage.blob(name, digest)
    if content is None:
        raise RegistryError("BLOB_UNKNOWN", digest)
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "max-age=31536000",
        "Content-Type": "application/octet-stream",
        "Docker-Content-Digest": digest,
        "Etag": f'"{digest}"',
    }
    if request.headers.get("If-None-Match") == headers["Etag"]:
        return web.Response(status=304, headers={"Etag": headers["Etag"], "Docker-Content-Digest": digest})
    asked = request.headers.get("Range")
    if asked is None or "," in asked:
        return web.Response(body=content, headers=headers)
    bounds = _bounds(asked, len(content))
    if bounds is None:
        refusal = error_response("RANGE_INVALID")
        refusal.headers["Content-Range"] = f"bytes */{len(content)}"
        return refusal
    start, end = bounds
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
    return web.Response(status=206, body=content[start:end], headers=headers)


def delete_blob(storage: Storage, behaviour: Behaviour, name: str, digest: str) -> web.Response:
    """Unlinks the blob from this repository; others keep theirs."""
    _check(digest)
    if not behaviour.deletion_enabled:
        raise RegistryError("UNSUPPORTED")
    repository = storage.repository(name)
    if repository is None or digest not in repository.blobs:
        raise RegistryError("BLOB_UNKNOWN")
    repository.blobs.discard(digest)
    return web.Response(status=202)


def _check(digest: str) -> None:
    if not is_digest(digest):
        raise RegistryError("DIGEST_INVALID", "unsupported digest algorithm")


def _bounds(asked: str, size: int) -> tuple[int, int] | None:
    found = _RANGE.fullmatch(asked.strip())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        length = min(int(found[2]), size)
        return (size - length, size) if length else None
    start = int(found[1])
    end = min(int(found[2]) + 1, size) if found[2] else size
    return (start, end) if start < end else None
