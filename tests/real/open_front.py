"""A front of a real registry that lets strangers read the repositories below `open/`, and hides that there are more."""

import json
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

from portus_gateway.devregistry import TokenService
from portus_gateway.devregistry.listener import Listener
from portus_gateway.devregistry.targets import target_of
from tests.real.fault_proxy import forward

OPEN = "open/"


class OpenFront:
    """Passes requests with credentials on as they are. It answers strangers by itself, reading with tokens of `tokens`.

    Without `tokens` it only answers `/v2/` by itself.
    """

    def __init__(self, upstream: str, tokens: TokenService | None = None) -> None:
        self.seen: list[tuple[str, str, str | None]] = []
        """Method, path and `Authorization` of each request."""
        self._upstream = upstream
        self._tokens = tokens
        self._listener = Listener(self._handle, "127.0.0.1", 0, None)

    @property
    def url(self) -> str:
        return self._listener.origin

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())
        await self._listener.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._listener.close()
        await self._session.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        self.seen.append((request.method, path, request.headers.get("Authorization")))
        if path == "/v2/" and (self._tokens is None or "Authorization" not in request.headers):
            return web.Response(body=b"{}")
        is_read = request.method in ("GET", "HEAD")
        if self._tokens is None or "Authorization" in request.headers or not is_read:
            return await forward(self._session, self._upstream, request)
        return await self._read_as_stranger(request, path, self._tokens)

    async def _read_as_stranger(self, request: web.BaseRequest, path: str, tokens: TokenService) -> web.StreamResponse:
        repository = target_of(path).repository
        if repository is None:
            answer = await self._with_right(request, tokens, "registry", "catalog", "*")
            assert isinstance(answer.body, bytes)
            names = json.loads(answer.body)["repositories"]
            return web.json_response({"repositories": [name for name in names if name.startswith(OPEN)]})
        if repository.startswith(OPEN):
            return await self._with_right(request, tokens, "repository", repository, "pull")
        unknown = {"errors": [{"code": "NAME_UNKNOWN", "message": "repository name not known to registry"}]}
        return web.json_response(unknown, status=404)

    async def _with_right(
        self, request: web.BaseRequest, tokens: TokenService, kind: str, name: str, action: str
    ) -> web.Response:
        token = tokens.sign([{"type": kind, "name": name, "actions": [action]}])
        return await forward(self._session, self._upstream, request, {"Authorization": f"Bearer {token}"})
