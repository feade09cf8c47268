"""Notifications, as distribution sends them: one event at a time, in order, repeated until the answer is 2xx or 3xx.

What waits in the queue is lost when the registry stops, as it is in distribution.
"""

import asyncio
import itertools
import secrets
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self, TypeAlias

import aiohttp

Event: TypeAlias = Mapping[str, object]

_MEDIA_TYPE: Final = "application/vnd.docker.distribution.events.v2+json"


@dataclass(frozen=True, slots=True)
class NotificationEndpoint:
    """Where to send notifications. `token` is sent as `Authorization: Bearer`. Durations are in seconds."""

    url: str
    token: str = field(repr=False)
    timeout: float = 1.0
    backoff: float = 1.0


class Notifications:
    """Sends events while its context lasts, if there is an `endpoint`.

    `tag_delay`: seconds between the event of a push and the writing of its tag. In distribution, events leave first,
    and the tag follows after some milliseconds.
    """

    def __init__(self) -> None:
        self.endpoint: NotificationEndpoint | None = None
        self.tag_delay = 0.0
        self.sent = 0
        """Events that an endpoint has taken."""
        self._queue: deque[Event] = deque()
        self._wanted = asyncio.Event()
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Self:
        self._instance = secrets.token_hex(8)
        self._sending = asyncio.create_task(self._send_all())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sending.cancel()
        await asyncio.gather(self._sending, return_exceptions=True)
        self._queue.clear()

    def emit(self, action: str, repository: str, *, tag: str = "", digest: str = "", media_type: str = "") -> None:
        """Queues an event: `push`, `pull` or `delete`."""
        if self.endpoint is None:
            return
        self._queue.append(
            {
                "id": f"{self._instance}-{next(self._numbers)}",
                "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
                "action": action,
                "target": {"mediaType": media_type, "digest": digest, "repository": repository, "tag": tag},
                "request": {"method": {"push": "PUT", "delete": "DELETE"}.get(action, "GET")},
                "actor": {"name": "dev"},
                "source": {"addr": "dev", "instanceID": self._instance},
            }
        )
        self._wanted.set()

    async def _send_all(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                while self._queue:
                    await self._send(session, self._queue[0])
                    self._queue.popleft()

    async def _send(self, session: aiohttp.ClientSession, event: Event) -> None:
        """Sends one event until it is taken."""
        while (endpoint := self.endpoint) is not None:
            headers = {"Content-Type": _MEDIA_TYPE, "Authorization": f"Bearer {endpoint.token}"}
            try:
                async with (
                    asyncio.timeout(endpoint.timeout),
                    session.post(endpoint.url, json={"events": [event]}, headers=headers) as answer,
                ):
                    if answer.status < 400:
                        self.sent += 1
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(endpoint.backoff)
