"""`GET`, `HEAD` and `DELETE /v2/<name>/blobs/<digest>`."""

import re

from aiohttp import web

from portus_gateway.devregistry.behaviour import Behaviour
from portus_gateway.devregistry.digests import is_digest
from portus_gateway.devregistry.errors import RegistryError
from portus_gateway.devregistry.storage import Storage

_RANGE = re.compile(r"bytes=\s*([0-9]*)\s*-\s*([0-9]*)\s*")


def get_blob(storage: Storage, request: web.BaseRequest, name: str, digest: str) -> web.Response:
    """The blob, or the one range of it that is asked for. Several ranges are answered with all of it.

    A range out of bounds is refused in plain text, as 3.1 does; 2.8 breaks that answer off.
    """
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
    if _has_etag(request, headers["Etag"]):
        kept = ("Cache-Control", "Docker-Content-Digest", "Etag")
        return web.Response(status=304, headers={name: headers[name] for name in kept})
    asked = request.headers.get("Range")
    if asked is None or "," in asked:
        return web.Response(body=content, headers=headers)
    try:
        start, end = _bounds(asked, len(content))
    except _BadRange as error:
        refusal = web.Response(status=416, text=f"{error}\n", headers={"Docker-Content-Digest": digest})
        if error.unsatisfiable:
            refusal.headers["Content-Range"] = f"bytes */{len(content)}"
        return refusal
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


class _BadRange(Exception):
    def __init__(self, message: str, *, unsatisfiable: bool = False) -> None:
        super().__init__(message)
        self.unsatisfiable = unsatisfiable


def _bounds(asked: str, size: int) -> tuple[int, int]:
    found = _RANGE.fullmatch(asked)
    if found is None or not (found[1] or found[2]):
        raise _BadRange("invalid range")
    if not found[1]:
        return size - min(int(found[2]), size), size
    start = int(found[1])
    if found[2] and int(found[2]) < start:
        raise _BadRange("invalid range")
    if start >= size:
        raise _BadRange("invalid range: failed to overlap", unsatisfiable=True)
    return start, min(int(found[2]) + 1, size) if found[2] else size


def _has_etag(request: web.BaseRequest, etag: str) -> bool:
    wanted = request.headers.get("If-None-Match", "")
    return wanted == "*" or etag in (part.strip().removeprefix("W/") for part in wanted.split(","))
