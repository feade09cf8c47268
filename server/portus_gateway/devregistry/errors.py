"""The registry's error answers, with the codes, messages and statuses of distribution's `errcode` package."""

import json
from collections.abc import Sequence

from aiohttp import web

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

_CODES: dict[str, tuple[int, str]] = {
    "UNKNOWN": (500, "unknown error"),
    "UNSUPPORTED": (405, "The operation is unsupported."),
    "UNAUTHORIZED": (401, "authentication required"),
    "DENIED": (403, "requested access to the resource is denied"),
    "UNAVAILABLE": (503, "service unavailable"),
    "TOOMANYREQUESTS": (429, "too many requests"),
    "DIGEST_INVALID": (400, "provided digest did not match uploaded content"),
    "SIZE_INVALID": (400, "provided length did not match content length"),
    "RANGE_INVALID": (416, "invalid content range"),
    "NAME_INVALID": (400, "invalid repository name"),
    "NAME_UNKNOWN": (404, "repository name not known to registry"),
    "MANIFEST_UNKNOWN": (404, "manifest unknown"),
    "MANIFEST_INVALID": (400, "manifest invalid"),
    "MANIFEST_BLOB_UNKNOWN": (400, "blob unknown to registry"),
    "BLOB_UNKNOWN": (404, "blob unknown to registry"),
    "BLOB_UPLOAD_UNKNOWN": (404, "blob upload unknown to registry"),
    "BLOB_UPLOAD_INVALID": (404, "blob upload invalid"),
    "PAGINATION_NUMBER_INVALID": (400, "invalid number of results requested"),
}


class RegistryError(Exception):
    """An answer in the registry's error form. `further` are the errors that it lists after this one."""

    def __init__(
        self, code: str, detail: Json = None, message: str | None = None, further: "Sequence[RegistryError]" = ()
    ) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.message = message
        self.further = further


def error_response(
    error: RegistryError, status: int | None = None, content_type: str = "application/json"
) -> web.Response:
    """The answer for an error. Without `status`, it has the status of the error's code."""
    errors: list[Json] = [_described(each) for each in (error, *error.further)]
    return web.Response(
        status=status or _CODES[error.code][0],
        body=json.dumps({"errors": errors}, separators=(",", ":")).encode() + b"\n",
        headers={"Content-Type": content_type},
    )


def _described(error: RegistryError) -> dict[str, Json]:
    described: dict[str, Json] = {"code": error.code, "message": error.message or _CODES[error.code][1]}
    if error.detail is not None:
        described["detail"] = error.detail
    return described
