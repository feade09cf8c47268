"""Blob uploads: `POST /v2/<name>/blobs/uploads/`, then `PATCH` and `PUT` to the `Location` of each answer."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from aiohttp import web

from portus_gateway.devregistry.behaviour import Behaviour
from portus_gateway.devregistry.bodies import BodyTooLarge, read_body
from portus_gateway.devregistry.digests import is_digest, matches
from portus_gateway.devregistry.errors import RegistryError
from portus_gateway.devregistry.flavours import Traits
from portus_gateway.devregistry.storage import Storage, UnreadableBlob
from portus_gateway.devregistry.urls import absolute_url

_MAXIMUM_BYTES = 1024**3
_CONTENT_RANGE = re.compile(r"(\d+)-(\d+)")

MayPull = Callable[[str], bool]
"""Whether the client may pull from a repository."""


@dataclass(slots=True)
class _Upload:
    repository: str
    content: bytearray = field(default_factory=bytearray)


class Uploads:
    """The uploads that have begun and not ended."""

    def __init__(self, storage: Storage, behaviour: Behaviour) -> None:
        self._storage = storage
        self._behaviour = behaviour
        self._uploads: dict[str, _Upload] = {}
        self._secret = secrets.token_bytes(16)

    async def start(self, request: web.BaseRequest, name: str, query: str, may_pull: MayPull) -> web.Response:
        """Answers `POST` without an upload: begins one, or mounts or takes the blob at once."""
        parameters = _parameters(query)
        mount, source = parameters.get("mount", ""), parameters.get("from", "")
        if is_digest(mount) and self._mount(name, mount, source, may_pull):
            return _created(request, name, mount)
        upload = _Upload(name)
        digest = parameters.get("digest", "")
        if digest and self._behaviour.traits.uploads_in_one_request:
            return self._commit(request, upload, digest, await _read(request))
        upload_id = secrets.token_hex(16)
        self._uploads[upload_id] = upload
        return self._progress(request, upload_id, upload, 202)

    async def serve(self, request: web.BaseRequest, name: str, upload_id: str, query: str) -> web.Response:
        """Answers a request to an upload."""
        parameters = _parameters(query)
        upload = self._open(request, name, upload_id, parameters.get("_state", ""))
        match request.method:
            case "GET" | "HEAD":
                return self._progress(request, upload_id, upload, 204)
            case "PATCH":
                return await self._append(request, upload_id, upload)
            case "PUT":
                return await self._complete(request, upload_id, upload, parameters.get("digest", ""))
            case "DELETE":
                del self._uploads[upload_id]
                return web.Response(status=204, headers={"Docker-Upload-UUID": upload_id})
            case _:
                raise RegistryError("BLOB_UPLOAD_UNKNOWN")

    def _mount(self, name: str, digest: str, source: str, may_pull: MayPull) -> bool:
        sources = [source] if source else []
        if not source and self._behaviour.traits.mounts_without_source:
            sources = [each for each in self._storage.repositories_with_blob(digest) if may_pull(each)]
        try:
            return any(self._storage.mount_blob(name, digest, each) for each in sources)
        except UnreadableBlob:
            return False

    def _open(self, request: web.BaseRequest, name: str, upload_id: str, state: str) -> _Upload:
        upload = self._uploads.get(upload_id)
        needs_state = request.method not in ("GET", "HEAD") or self._behaviour.traits.upload_status_needs_state
        if upload_id and needs_state:
            offset = self._offset(name, upload_id, state)
            if offset is None:
                raise RegistryError("BLOB_UPLOAD_INVALID", "invalid state")
            if upload is not None and offset != len(upload.content):
                raise RegistryError(self._behaviour.traits.stale_state_code)
        if upload is None or upload.repository != name:
            raise RegistryError("BLOB_UPLOAD_UNKNOWN")
        return upload

    async def _append(self, request: web.BaseRequest, upload_id: str, upload: _Upload) -> web.Response:
        traits = self._behaviour.traits
        content_type = request.headers.get("Content-Type")
        if traits.checks_chunk_type and content_type not in (None, "", "application/octet-stream"):
            raise RegistryError("UNKNOWN", "bad Content-Type")
        content = await _read(request)
        if traits.reads_content_range and "Content-Length" in request.headers:
            _check_content_range(request, upload, content, traits)
        upload.content += content
        return self._progress(request, upload_id, upload, 202)

    async def _complete(self, request: web.BaseRequest, upload_id: str, upload: _Upload, digest: str) -> web.Response:
        _check_digest(digest)
        content = await _read(request)
        if self._behaviour.traits.reads_content_range_of_put:
            _check_content_range(request, upload, content, self._behaviour.traits)
        answer = self._commit(request, upload, digest, content)
        self._uploads.pop(upload_id, None)
        return answer

    def _commit(self, request: web.BaseRequest, upload: _Upload, digest: str, last: bytes) -> web.Response:
        _check_digest(digest)
        upload.content += last
        content = bytes(upload.content)
        if not matches(content, digest):
            raise RegistryError("DIGEST_INVALID", "content does not match digest")
        stored = self._storage.commit_blob(upload.repository, digest, content)
        return _created(request, upload.repository, stored)

    def _progress(self, request: web.BaseRequest, upload_id: str, upload: _Upload, status: int) -> web.Response:
        state = self._state(upload.repository, upload_id, len(upload.content))
        path = f"/v2/{upload.repository}/blobs/uploads/{upload_id}?_state={state}"
        headers = {
            "Location": absolute_url(request, path),
            "Range": f"0-{max(0, len(upload.content) - 1)}",
            "Docker-Upload-UUID": upload_id,
        }
        return web.Response(status=status, headers=headers)

    def _state(self, name: str, upload_id: str, offset: int) -> str:
        """Signed, as distribution's: a client has to follow each `Location` with its query."""
        signature = hmac.new(self._secret, f"{name}:{upload_id}:{offset}".encode(), hashlib.sha256)
        return f"{offset}-{signature.hexdigest()[:32]}"

    def _offset(self, name: str, upload_id: str, state: str) -> int | None:
        """How far the upload was when it got this state; None for a state that is not of this upload."""
        text = state.partition("-")[0]
        if not text.isdecimal() or not hmac.compare_digest(
            self._state(name, upload_id, int(text)).encode(), state.encode()
        ):
            return None
        return int(text)


def _parameters(query: str) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(query).items()}


def _check_content_range(request: web.BaseRequest, upload: _Upload, content: bytes, traits: Traits) -> None:
    asked = request.headers.get("Content-Range")
    if asked is None:
        return
    found = _CONTENT_RANGE.fullmatch(asked)
    if found is None:
        raise RegistryError(traits.bad_content_range_code, "invalid content range")
    if int(found[1]) > int(found[2]) or int(found[1]) != len(upload.content):
        raise RegistryError("RANGE_INVALID")
    if int(found[2]) - int(found[1]) + 1 != len(content):
        raise RegistryError("SIZE_INVALID")


def _check_digest(digest: str) -> None:
    if not is_digest(digest):
        raise RegistryError("DIGEST_INVALID", "digest parsing failed" if digest else "digest missing")


async def _read(request: web.BaseRequest) -> bytes:
    try:
        return await read_body(request, _MAXIMUM_BYTES)
    except BodyTooLarge:
        raise RegistryError("SIZE_INVALID", f"at most {_MAXIMUM_BYTES} bytes") from None


def _created(request: web.BaseRequest, name: str, digest: str) -> web.Response:
    location = absolute_url(request, f"/v2/{name}/blobs/{digest}")
    return web.Response(status=201, headers={"Location": location, "Docker-Content-Digest": digest})
