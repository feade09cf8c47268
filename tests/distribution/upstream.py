"""A scripted HTTP server: for what a real registry does not do on demand."""

import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiohttp import web
from multidict import CIMultiDictProxy
from yarl import URL

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Scripted = web.StreamResponse | Handler


@dataclass(frozen=True)
class Seen:
    method: str
    target: str
    """Path and query as they came on the wire."""
    headers: CIMultiDictProxy[str] = field(repr=False)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def authorization(self) -> str | None:
        return self.headers.get("Authorization")


class Upstream:
    """Answers with what was scripted, in order; the last answer is repeated. Records every request."""

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self.ssl_context = ssl_context
        self.port = 0
        self.requests: list[Seen] = []
        self._script: deque[Scripted] = deque()
        self._last: Scripted | None = None

    def script(self, *answers: Scripted) -> None:
        self._script.extend(answers)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        # Handlers must end when the client goes away: a handler that hangs would hold up the test's end.
        self._runner = web.ServerRunner(web.Server(self._handle, handler_cancellation=True), shutdown_timeout=1)
        await self._runner.setup()
        await self._listen()
        return self

    async def restart(self) -> None:
        """Listens on a new port, with the `ssl_context` as it is now."""
        await self._site.stop()
        await self._listen()

    async def _listen(self) -> None:
        self._site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self.ssl_context)
        await self._site.start()
        self.port = self._runner.addresses[0][1]

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, web.BaseRequest)
        self.requests.append(Seen(request.method, request.raw_path, request.headers))
        answer = self._script.popleft() if self._script else self._last
        if answer is None:
            raise AssertionError(f"nothing is scripted for {request.method} {request.raw_path}")
        self._last = answer
        if isinstance(answer, web.Response):
            # An aiohttp response can be sent once.
            return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
        assert callable(answer)
        return await answer(request)  # type: ignore[arg-type]


def answer(status: int = 200, body: str | bytes = b"", **headers: str) -> web.Response:
    """`answer(404, "{}", Retry_After="1")`"""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(status=status, body=body.encode() if isinstance(body, str) else body, headers=fields)


def refusal(status: int, code: str, message: str = "", **headers: str) -> web.Response:
    """An error as a registry words it."""
    return answer(status, f'{{"errors": [{{"code": "{code}", "message": "{message}"}}]}}', **headers)


def bearer_challenge(
    realm: str | URL, scope: str = "repository:team/app:pull", service: str = "registry"
) -> web.Response:
    return refusal(
        401,
        "UNAUTHORIZED",
        WWW_Authenticate=f'Bearer realm="{realm}",service="{service}",scope="{scope}"',
    )


def basic_challenge() -> web.Response:
    return refusal(401, "UNAUTHORIZED", WWW_Authenticate='Basic realm="registry"')
