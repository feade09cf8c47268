"""A record of the requests that a server saw, for assertions."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

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
    """One request. The credentials themselves are never kept."""

    method: str
    target: str
    """Path and query exactly as on the wire."""
    route: str
    """`ping`, `catalog`, `tags`, `manifests`, `blobs`, `uploads`, `referrers`, `token` or `unknown`."""
    repository: str | None
    authorization: str | None
    """The scheme of the Authorization header in lower case, `basic` or `bearer`; None without the header."""
    headers: Mapping[str, str]
    """The headers that matter to assertions, by their name in lower case; Accept's several lines joined."""
    arrived_at: float
    """In seconds of `time.monotonic()`."""
    status: int | None = field(default=None)
    """Of the answer; None while there is none (still at work, hung or reset)."""


class RequestLog:
    """The latest requests, oldest first, at most `capacity` of them."""

    def __init__(self, capacity: int = 10_000) -> None:
        self._records: deque[RequestRecord] = deque(maxlen=capacity)
        self._waiters: set[asyncio.Future[None]] = set()
        self.total = 0
        """Of all requests since the start or the last `clear`, kept or not."""
        self.in_flight = 0
        self.max_concurrent = 0
        """The most requests that were at work at the same time since the start or the last `clear`."""

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

    def select(
        self,
        *,
        route: str | None = None,
        method: str | None = None,
        repository: str | None = None,
        status: int | None = None,
        authorization: str | None = None,
    ) -> list[RequestRecord]:
        """The kept requests for which all that is given holds, oldest first."""
        return [
            record
            for record in self._records
            if (route is None or record.route == route)
            and (method is None or record.method == method)
            and (repository is None or record.repository == repository)
            and (status is None or record.status == status)
            and (authorization is None or record.authorization == authorization)
        ]

    def count(
        self,
        *,
        route: str | None = None,
        method: str | None = None,
        repository: str | None = None,
        status: int | None = None,
        authorization: str | None = None,
    ) -> int:
        """How many `select` would find."""
        return len(
            self.select(
                route=route,
                method=method,
                repository=repository,
                status=status,
                authorization=authorization,
            )
        )

    async def wait_for(
        self,
        count: int = 1,
        *,
        route: str | None = None,
        method: str | None = None,
        repository: str | None = None,
        timeout: float = 10.0,  # noqa: ASYNC109 - a bound on every wait, with a message of its own
    ) -> None:
        """Waits until `count` such requests have arrived; raises `TimeoutError` after `timeout` seconds."""
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
        """Records the arrival of a request; `end` follows when it is done with."""
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
