"""A proxy in front of a real registry. It makes faults on demand, and records requests."""

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from portus_gateway.devregistry import Fault, Injection, RequestLog
from portus_gateway.devregistry.fault_effects import NoAnswer, apply_fault
from portus_gateway.devregistry.fault_set import FaultSet, Stage
from portus_gateway.devregistry.listener import Listener
from portus_gateway.devregistry.targets import target_of

_HOP_BY_HOP = ("Connection", "Keep-Alive", "Transfer-Encoding")


class FaultProxy:
    """Forwards requests to `upstream`, and its answers, byte for byte, except for the faults.

    A fault applies to requests with credentials. With `before_authorization`, it applies to all requests.
    """

    def __init__(self, upstream: str) -> None:
        self.requests = RequestLog()
        self._upstream = upstream
        self._faults = FaultSet()
        self._listener = Listener(self._handle, "127.0.0.1", 0, None)
        self._session: aiohttp.ClientSession | None = None

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
        if self._session is not None:
            await self._session.close()

    def inject(self, fault: Fault) -> Injection:
        """Applies a fault until it is removed. A `with` block removes it at its end."""
        return self._faults.inject(fault)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        target = target_of(request.raw_path.partition("?")[0])
        record = self.requests.begin(request, target.route, target.repository)
        status: int | None = None
        stages = [Stage.ARRIVAL, *([Stage.OPERATION] if "Authorization" in request.headers else [])]

        async def forward() -> web.StreamResponse:
            return await self._forward(request)

        try:
            fault = next(
                (
                    found
                    for stage in stages
                    if (found := self._faults.take(stage, target.route, request.method, target.repository))
                ),
                None,
            )
            answer = await (apply_fault(fault, request, forward, self._listener.closing) if fault else forward())
            status = None if isinstance(answer, NoAnswer) else answer.status
            return answer
        finally:
            self.requests.end(record, status)

    async def _forward(self, request: web.BaseRequest) -> web.Response:
        assert self._session is not None
        return await forward(self._session, self._upstream, request)


async def forward(
    session: aiohttp.ClientSession, upstream: str, request: web.BaseRequest, fields: Mapping[str, str] | None = None
) -> web.Response:
    """The answer of `upstream` to the request, with these header fields besides its own."""
    headers = _passed_on(request.headers.items())
    headers.update(fields or {})
    async with session.request(
        request.method,
        URL(f"{upstream}{request.raw_path}", encoded=True),
        headers=headers,
        data=await request.read(),
        allow_redirects=False,
        timeout=aiohttp.ClientTimeout(total=30),
    ) as answer:
        return web.Response(
            status=answer.status, headers=_passed_on(answer.headers.items()), body=await answer.read() or None
        )


def _passed_on(fields: Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in fields if name not in _HOP_BY_HOP)
