"""The keys that verify tokens, from their issuer's own address."""

import asyncio
import time
from collections.abc import Callable
from contextvars import Context
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp
import structlog
from yarl import URL

from portus_gateway.access.errors import InvalidAccessFile, KeysUnavailable
from portus_gateway.access.key_set import KeySet, parse_key_set
from portus_gateway.distribution.trust import client_tls_context

_LIMIT: Final = 256 * 1024
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_log = structlog.get_logger(__name__)


class KeyUrl:
    """The JWKS at `url`, which is https (http on this machine only); an async context manager. Times are in seconds.

    Keys are fetched again every `max_age`, in the background. Keys older than twice that, as after hours without calls,
    are used only if a fetch has failed since: a key that was withdrawn meanwhile must not be accepted. They are never
    used beyond `max_staleness`. An unknown key is looked for at once, but not within `min_interval` of the last fetch.
    `timeout` bounds one fetch, and so every wait for it. All callers share one fetch, and at most `most_waiting` of
    them wait for an unknown key, because anybody can invent a key id.
    """

    def __init__(
        self,
        url: str,
        *,
        ca_file: Path | None = None,
        max_age: float = 300.0,
        min_interval: float = 10.0,
        max_staleness: float = 24 * 3600.0,
        timeout: float = 5.0,
        most_waiting: int = 32,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = _checked(url)
        self._ca_file = ca_file
        self._max_age = max_age
        self._min_interval = min_interval
        self._max_staleness = max_staleness
        self._timeout = timeout
        self._most_waiting = most_waiting
        self._waiting = 0
        self._clock = clock
        self._keys: KeySet | None = None
        self._content = b""
        self._fetched = 0.0
        self._failed: float | None = None
        self._tried: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        context = await asyncio.to_thread(client_tls_context, self._ca_file)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context),
            # A compressed answer is not unpacked: its real size is not known before.
            auto_decompress=False,
            headers={"Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._timeout),
        )
        self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
        await self._session.close()

    async def key_set(self) -> KeySet:
        """The keys now. Raises `KeysUnavailable` if there never were any, or only too old ones."""
        if self._keys is None or self._must_wait():
            await self._look()
        elif self._age() > self._max_age:
            self._begin()
        if self._keys is None or self._age() > self._max_staleness:
            raise _unavailable()
        return self._keys

    async def newer_than(self, known: KeySet) -> KeySet:
        """The keys after a look for new ones. Raises `KeysUnavailable` if too many wait for unknown keys already."""
        if self._keys is known:
            if self._waiting >= self._most_waiting:
                raise _unavailable()
            self._waiting += 1
            try:
                await self._look()
            finally:
                self._waiting -= 1
        return await self.key_set()

    def _must_wait(self) -> bool:
        if self._age() > self._max_staleness:
            return True
        failed_since = self._failed is not None and self._clock() - self._failed <= self._max_age
        return self._age() > 2 * self._max_age and not failed_since

    def _age(self) -> float:
        return self._clock() - self._fetched

    def _begin(self) -> "asyncio.Task[None] | None":
        """The running fetch, or a new one. None if it is too early for a new one."""
        if self._fetching is None or self._fetching.done():
            if self._tried is not None and self._clock() - self._tried < self._min_interval:
                return None
            self._tried = self._clock()
            # It belongs to no caller: no caller's deadline or cancellation ends it.
            self._fetching = asyncio.create_task(self._fetch(), context=Context())
        return self._fetching

    async def _look(self) -> None:
        running = self._begin()
        if running is not None:
            await asyncio.wait([running])

    async def _fetch(self) -> None:
        try:
            content = await self._read()
            if content != self._content:
                self._keys = parse_key_set(content, str(self._url))
                self._content = content
                _log.info("keys loaded", url=str(self._url), keys=[key.id for key in self._keys.keys])
            self._fetched, self._failed = self._clock(), None
        except (aiohttp.ClientError, OSError, TimeoutError, InvalidAccessFile) as error:
            self._failed = self._clock()
            _log.error(
                "the keys that tokens are checked with could not be fetched",
                url=str(self._url),
                problem=str(error) or type(error).__name__,
                keys_known=self._keys is not None,
            )

    async def _read(self) -> bytes:
        # A redirect could lead to somebody else's keys.
        async with self._session.get(self._url, allow_redirects=False) as answer:
            if answer.status != 200:
                raise aiohttp.ClientError(f"the answer was {answer.status}")
            content = b""
            async for part in answer.content.iter_chunked(64 * 1024):
                content += part
                if len(content) > _LIMIT:
                    raise aiohttp.ClientError(f"the answer is larger than {_LIMIT} bytes")
            return content


def _unavailable() -> KeysUnavailable:
    return KeysUnavailable("the keys to check tokens cannot be fetched now: try again later", retry_after=1.0)


def _checked(text: str) -> URL:
    url = URL(text)
    if url.host is None or url.scheme not in ("http", "https") or url.user is not None:
        raise ValueError("not an http or https address, or it contains a user")
    if url.scheme == "http" and url.host not in _LOOPBACK:
        raise ValueError("http, where anybody on the way could replace the keys: use https")
    return url
