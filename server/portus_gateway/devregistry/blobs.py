"""`GET`, `HEAD` and `DELETE /v2/<name>/blobs/<digest>`."""

import re
from collections.abc import Mapping

from aiohttp import web

from portus_gateway.devregistry.behaviour import Behaviour
from portus_gateway.devregistry.cut_answers import CutAnswer
from portus_gateway.devregistry.digests import is_digest
from portus_gateway.devregistry.errors import RegistryError
from portus_gateway.devregistry.plain_answers import plain_error
from portus_gateway.devregistry.storage import Storage, UnreadableBlob

_DIGITS = 18
_RANGE = re.compile(r"bytes=\s*([0-9]*)\s*-\s*([0-9]*)\s*")


def get_blob(storage: Storage, behaviour: Behaviour, request: web.BaseRequest, name: str, digest: str) -> web.Response:
    """The blob, or the one range of it that is asked for. A request for several ranges is answered with all of it."""
    _check(digest)
    try:
        found = storage.blob(name, digest)
    except UnreadableBlob as error:
        raise RegistryError("UNKNOWN", f"unknown blob {error}") from None
    if found is None:
        raise RegistryError("BLOB_UNKNOWN", digest)
    stored, content = found
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "max-age=31536000",
        "Content-Type": "application/octet-stream",
        "Docker-Content-Digest": stored,
        "Etag": f'"{stored}"',
    }
    if _has_etag(request, headers["Etag"]):
        kept = ("Cache-Control", "Docker-Content-Digest", "Etag")
        return web.Response(status=304, headers={name: headers[name] for name in kept})
    asked = request.headers.get("Range", "")
    if asked in ("", "bytes=") or "," in asked:
        # Without it, aiohttp leaves the length of an empty blob out of the answer to HEAD.
        headers["Content-Length"] = str(len(content))
        return web.Response(body=content, headers=headers)
    try:
        start, end = _bounds(asked, len(content))
    except _BadRange as error:
        return _range_refusal(error, behaviour, headers, len(content))
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
    return web.Response(status=206, body=content[start:end], headers=headers)


def delete_blob(storage: Storage, behaviour: Behaviour, name: str, digest: str) -> web.Response:
    """Removes the blob from this repository. Others keep theirs."""
    _check(digest)
    if not behaviour.deletion_enabled:
        raise RegistryError("UNSUPPORTED")
    repository = storage.repository(name)
    if repository is None or not storage.stores(repository.blob_target(digest)):
        raise RegistryError("BLOB_UNKNOWN")
    repository.unlink_blob(digest)
    return web.Response(status=202)


def _range_refusal(
    error: "_BadRange", behaviour: Behaviour, blob_headers: Mapping[str, str], size: int
) -> web.Response:
    kept: tuple[str, ...] = ("Docker-Content-Digest",)
    if behaviour.traits.breaks_off_bad_ranges:
        # 2.8 has set the headers and the length of the blob already when it finds the range bad.
        kept = ("Cache-Control", "Docker-Content-Digest", "Etag")
    headers = {name: blob_headers[name] for name in kept}
    if error.unsatisfiable:
        headers["Content-Range"] = f"bytes */{size}"
    refusal = plain_error(416, str(error), headers)
    return CutAnswer(refusal, size) if behaviour.traits.breaks_off_bad_ranges else refusal


def _check(digest: str) -> None:
    if not is_digest(digest):
        raise RegistryError("DIGEST_INVALID", "unsupported digest algorithm")


class _BadRange(Exception):
    """`unsatisfiable`: the blob ends before the range begins."""

    def __init__(self, message: str, *, unsatisfiable: bool = False) -> None:
        super().__init__(message)
        self.unsatisfiable = unsatisfiable


def _bounds(asked: str, size: int) -> tuple[int, int]:
    found = _RANGE.fullmatch(asked)
    if found is None or not (found[1] or found[2]) or any(len(number) > _DIGITS for number in found.groups()):
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
