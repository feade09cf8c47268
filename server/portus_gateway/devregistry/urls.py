"""The URLs in the registry's answers."""

from aiohttp import web


def absolute_url(request: web.BaseRequest, path: str) -> str:
    """The URL of a path on the host of the request. Distribution sends an absolute `Location`."""
    return f"{request.scheme}://{request.host}{path}"
