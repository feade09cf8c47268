"""Blob uploads: `POST /v2/<name>/blobs/uploads/`, then `PATCH` and `PUT` to where it says."""

import re
import secrets
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from aiohttp import web

from portus_gateway.devregistry.behaviour import Behaviour
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

    def __init__(self, storage: Storage, behaviour: Behaviour) -> None:
        self._storage = storage
        self._behaviour = behaviour
        self._uploads: dict[str, _Upload] = {}

    async def serve(self, request: web.BaseRequest, name: str, upload_id: str, query: str) -> web.Response:
        """Answers one request of an upload; `upload_id` is empty for the first."""
        parameters = {key: values[0] for key, values in parse_qs(query).items()}
        if not upload_id and request.method == "POST":
            return self._start(request, name, parameters)
        upload = self._open(request, name, upload_id, parameters.get("_state"))
        if request.method in ("GET", "HEAD"):
            return self._progress(request, upload_id, upload, 204)
        if request.method == "PATCH":
            return await self._append(request, upload_id, upload)
        if request.method == "PUT":
            return await self._complete(request, upload_id, upload, parameters.get("digest", ""))
        if request.method == "POST":
            raise RegistryError("BLOB_UPLOAD_UNKNOWN")
        del self._uploads[upload_id]
        return web.Response(status=204, headers={"Docker-Upload-UUID": upload_id})

    def _open(self, request: web.BaseRequest, name: str, upload_id: str, state: str | None) -> _Upload:
        upload = self._uploads.get(upload_id)
        bound = bool(upload_id) and (self._behaviour.flavour == "2.8" or request.method not in ("GET", "HEAD"))
        if bound and (not state or (upload is not None and upload.state != state)):
            raise RegistryError("BLOB_UPLOAD_INVALID", "invalid state")
        if upload is None or upload.repository != name:
            raise RegistryError("BLOB_UPLOAD_UNKNOWN")
        return upload

    def _start(self, request: web.BaseRequest, name: str, parameters: dict[str, str]) -> web.Response:
        mount, source = parameters.get("mount", ""), parameters.get("from", "")
        if is_digest(mount) and source and self._storage.mount_blob(name, mount, source):
            return _created(request, name, mount)
        # With a digest and all of the blob too: distribution takes no upload in one request, as OCI lets it.
        upload = _Upload(name, secrets.token_urlsafe(12))
        upload_id = secrets.token_hex(16)
        self._uploads[upload_id] = upload
        return self._progress(request, upload_id, upload, 202)

    async def _append(self, request: web.BaseRequest, upload_id: str, upload: _Upload) -> web.Response:
        asked = None if self._behaviour.flavour == "2.8" else request.headers.get("Content-Range")
        content = await _read(request)
        if asked is not None:
            found = _CONTENT_RANGE.fullmatch(asked)
            if found is None:
                raise RegistryError("UNKNOWN", "invalid content range")
            if int(found[1]) != len(upload.content):
                raise RegistryError("RANGE_INVALID")
            if int(found[2]) - int(found[1]) + 1 != len(content):
                raise RegistryError("SIZE_INVALID")
        upload.content += content
        upload.state = secrets.token_urlsafe(12)
        return self._progress(request, upload_id, upload, 202)

    async def _complete(self, request: web.BaseRequest, upload_id: str, upload: _Upload, digest: str) -> web.Response:
        if not is_digest(digest):
            raise RegistryError("DIGEST_INVALID", "digest parsing failed" if digest else "digest missing")
        upload.content += await _read(request)
        upload.state = secrets.token_urlsafe(12)
        content = bytes(upload.content)
        if not matches(content, digest):
            raise RegistryError("DIGEST_INVALID", "content does not match digest")
        self._uploads.pop(upload_id, None)
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
