"""The URLs that the registry puts into its answers."""

from aiohttp import web


def absolute_url(request: web.BaseRequest, path: str) -> str:
    """On the host that the request named: distribution makes `Location` absolute."""
    return f"{request.scheme}://{request.host}{path}"
