"""A record of the requests to a server, for assertions."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypedDict, Unpack

from aiohttp import web

_KEPT_HEADERS = (
    "Accept",
    "Accept-Encoding",
    "Content-Length",
    "Content-Type",
    "Cookie",
    "Host",
    "If-None-Match",
    "Range",
    "Traceparent",
    "User-Agent",
    "X-Request-Id",
)


@dataclass(slots=True)
class RequestRecord:
    """One request. Its credentials are not kept."""

    method: str
    target: str
    """Path and query exactly as on the wire."""
    route: str
    """`ping`, `catalog`, `tags`, `manifests`, `blobs`, `uploads`, `referrers`, `token` or `unknown`."""
    repository: str | None
    authorization: str | None
    """The scheme of the Authorization header, `basic` or `bearer`. None without the header."""
    headers: Mapping[str, str]
    """Some headers, by their names in lower case. Several lines of one name are joined with commas."""
    arrived_at: float
    """Seconds, as `time.monotonic()` counts them."""
    status: int | None = field(default=None)
    """The status of the answer. None as long as there is none, or if the connection was reset."""


class Wanted(TypedDict, total=False):
    """Which requests to select: those whose fields have these values. None matches every value."""

    route: str | None
    method: str | None
    repository: str | None
    status: int | None
    authorization: str | None


class RequestLog:
    """The last requests, at most `capacity` of them, oldest first."""

    def __init__(self, capacity: int = 10_000) -> None:
        self._records: deque[RequestRecord] = deque(maxlen=capacity)
        self._waiters: set[asyncio.Future[None]] = set()
        self.total = 0
        """The number of requests since the start or the last `clear`, also of those that are not kept any more."""
        self.in_flight = 0
        self.max_concurrent = 0
        """The largest number of simultaneous requests since the start or the last `clear`."""

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[RequestRecord]:
        return iter(tuple(self._records))

    def __getitem__(self, index: int) -> RequestRecord:
        return self._records[index]

    def clear(self) -> None:
        self._records.clear()
        self.total = 0
        self.max_concurrent = self.in_flight

    def select(self, **wanted: Unpack[Wanted]) -> list[RequestRecord]:
        """The kept requests that match every argument, oldest first."""
        return [record for record in self._records if _matches(record, wanted)]

    def count(self, **wanted: Unpack[Wanted]) -> int:
        """The number of requests that `select` would find."""
        return len(self.select(**wanted))

    async def wait_for(
        self,
        count: int = 1,
        *,
        route: str | None = None,
        method: str | None = None,
        repository: str | None = None,
        timeout: float = 10.0,  # noqa: ASYNC109 - it has a message of its own
    ) -> None:
        """Waits until `count` matching requests have arrived. Raises `TimeoutError` after `timeout` seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while (seen := self.count(route=route, method=method, repository=repository)) < count:
            remaining = deadline - loop.time()
            if remaining <= 0:
                raise TimeoutError(f"{seen} of {count} requests (route {route}) arrived in {timeout} s")
            arrival: asyncio.Future[None] = loop.create_future()
            self._waiters.add(arrival)
            try:
                with suppress(TimeoutError):
                    await asyncio.wait_for(arrival, remaining)
            finally:
                self._waiters.discard(arrival)

    def begin(self, request: web.BaseRequest, route: str, repository: str | None) -> RequestRecord:
        """Records the arrival of a request. `end` records its end."""
        headers = request.headers
        authorization = headers.get("Authorization")
        record = RequestRecord(
            request.method,
            request.raw_path,
            route,
            repository,
            None if authorization is None else authorization.partition(" ")[0].lower(),
            {name.lower(): ", ".join(headers.getall(name)) for name in _KEPT_HEADERS if name in headers},
            time.monotonic(),
        )
        self._records.append(record)
        self.total += 1
        self.in_flight += 1
        if self.in_flight > self.max_concurrent:
            self.max_concurrent = self.in_flight
        if self._waiters:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
        return record

    def end(self, record: RequestRecord, status: int | None) -> None:
        record.status = status
        self.in_flight -= 1


def _matches(record: RequestRecord, wanted: Wanted) -> bool:
    return all(value is None or getattr(record, name) == value for name, value in wanted.items())
