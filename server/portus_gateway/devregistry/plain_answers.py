"""Answers in plain text, as Go's `net/http` makes them for errors that are not the registry's own."""

from collections.abc import Mapping

from aiohttp import web

_NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}


def plain_error(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=f"{text}\n", headers={**_NO_SNIFFING, **(headers or {})})
