"""Blob uploads: `POST /v2/<name>/blobs/uploads/`, then `PATCH` and `PUT` to where it says."""

import re
import secrets
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from aiohttp import web

from portus_gateway.devregistry.bodies import BodyTooLarge, read_body
from portus_gateway.devregistry.digests import is_digest, matches
from portus_gateway.devregistry.errors import RegistryError
from portus_gateway.devregistry.storage import Storage
from portus_gateway.devregistry.urls import absolute_url

_MAXIMUM_BYTES = 1024**3
_CONTENT_RANGE = re.compile(r"(\d+)-(\d+)")


@dataclass(slots=True)
class _Upload:
    repository: str
    state: str
    """Changes with every chunk: a client has to follow each `Location` with its query."""
    content: bytearray = field(default_factory=bytearray)


class Uploads:
    """The uploads that have begun and not ended."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._uploads: dict[str, _Upload] = {}

    async def serve(self, request: web.BaseRequest, name: str, upload_id: str, query: str) -> web.Response:
        """Answers one request of an upload; `upload_id` is empty for the first."""
        parameters = {key: values[0] for key, values in parse_qs(query).items()}
        if not upload_id and request.method == "POST":
            return await self._start(request, name, parameters)
        upload = self._uploads.get(upload_id)
        if upload is None or upload.repository != name or request.method == "POST":
            raise RegistryError("BLOB_UPLOAD_UNKNOWN")
        if request.method in ("GET", "HEAD"):
            return self._progress(request, upload_id, upload, 204)
        if parameters.get("_state") != upload.state:
            raise RegistryError("BLOB_UPLOAD_INVALID", "invalid state")
        if request.method == "PATCH":
            return await self._append(request, upload_id, upload)
        if request.method == "PUT":
            return await self._complete(request, upload_id, upload, parameters.get("digest", ""))
        del self._uploads[upload_id]
        return web.Response(status=204, headers={"Docker-Upload-UUID": upload_id})

    async def _start(self, request: web.BaseRequest, name: str, parameters: dict[str, str]) -> web.Response:
        mount, source = parameters.get("mount", ""), parameters.get("from", "")
        if is_digest(mount) and source and self._storage.mount_blob(name, mount, source):
            return _created(request, name, mount)
        upload = _Upload(name, secrets.token_urlsafe(12))
        digest = parameters.get("digest", "")
        if digest:
            # All in one request, as the OCI specification allows.
            return await self._finish(request, upload, digest)
        upload_id = secrets.token_hex(16)
        self._uploads[upload_id] = upload
        return self._progress(request, upload_id, upload, 202)

    async def _append(self, request: web.BaseRequest, upload_id: str, upload: _Upload) -> web.Response:
        asked = request.headers.get("Content-Range")
        content = await _read(request)
        if asked is not None:
            found = _CONTENT_RANGE.fullmatch(asked)
            if found is None or int(found[1]) != len(upload.content):
                raise RegistryError("RANGE_INVALID")
            if int(found[2]) - int(found[1]) + 1 != len(content):
                raise RegistryError("SIZE_INVALID")
        upload.content += content
        upload.state = secrets.token_urlsafe(12)
        return self._progress(request, upload_id, upload, 202)

    async def _complete(self, request: web.BaseRequest, upload_id: str, upload: _Upload, digest: str) -> web.Response:
        if not is_digest(digest):
            raise RegistryError("DIGEST_INVALID", "digest parsing failed" if digest else "digest missing")
        self._uploads.pop(upload_id, None)
        return await self._finish(request, upload, digest)

    async def _finish(self, request: web.BaseRequest, upload: _Upload, digest: str) -> web.Response:
        upload.content += await _read(request)
        content = bytes(upload.content)
        if not is_digest(digest) or not matches(content, digest):
            raise RegistryError("DIGEST_INVALID", "content does not match digest")
        self._storage.put_blob(upload.repository, digest, content)
        return _created(request, upload.repository, digest)

    def _progress(self, request: web.BaseRequest, upload_id: str, upload: _Upload, status: int) -> web.Response:
        path = f"/v2/{upload.repository}/blobs/uploads/{upload_id}?_state={upload.state}"
        headers = {
            "Location": absolute_url(request, path),
            "Range": f"0-{max(0, len(upload.content) - 1)}",
            "Docker-Upload-UUID": upload_id,
        }
        return web.Response(status=status, headers=headers)


async def _read(request: web.BaseRequest) -> bytes:
    try:
        return await read_body(request, _MAXIMUM_BYTES)
    except BodyTooLarge:
        raise RegistryError("SIZE_INVALID", f"at most {_MAXIMUM_BYTES} bytes") from None


def _created(request: web.BaseRequest, name: str, digest: str) -> web.Response:
    location = absolute_url(request, f"/v2/{name}/blobs/{digest}")
    return web.Response(status=201, headers={"Location": location, "Docker-Content-Digest": digest})
