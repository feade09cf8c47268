"""Notifications, as distribution sends them: one event at a time, in order, repeated until the answer is 2xx or 3xx.

What waits in the queue is lost when the registry stops, as it is in distribution (`registry/handlers/app.go`). Events
of blobs are not sent: `portus-gateway index endpoint` has the registry leave them out, too.
"""

import asyncio
import itertools
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

import aiohttp

from portus_gateway.devregistry.faults import Fault
from portus_gateway.devregistry.flavours import Traits

Action = Literal["push", "pull", "delete"]
Json: TypeAlias = dict[str, "str | int | Json"]

# An event that is sent after the next one does not wait for longer, in seconds.
_LONGEST_REORDER: Final = 1.0


@dataclass(frozen=True, slots=True)
class NotificationEndpoint:
    """Where to send notifications. `token` is sent as `Authorization: Bearer`. Durations are in seconds.

    A failed event is sent again at once, and after `threshold` failures in a row with a pause of `backoff` before it.
    """

    url: str
    token: str = field(repr=False)
    timeout: float = 1.0
    threshold: int = 10
    backoff: float = 1.0


@dataclass(frozen=True, slots=True)
class Announcement:
    """What an event is about. `method` is that of the request that it tells of."""

    action: Action
    method: str
    repository: str
    tag: str = ""
    digest: str = ""
    media_type: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class _Event:
    number: int
    at: int
    """In nanoseconds since 1970."""
    about: Announcement
    delay: float = 0.0


class Notifications:
    """Sends events while its context lasts, if there is an `endpoint`.

    `fault` says what goes wrong with the event of a request with this method to this repository.
    """

    def __init__(self, traits: Traits, fault: Callable[[str, str], Fault | None]) -> None:
        self._traits = traits
        self._fault = fault
        self.endpoint: NotificationEndpoint | None = None
        self.tag_delay = 0.012
        """Seconds between the event of a push and the writing of its tag. In distribution, it is this in the median."""
        self.sent = 0
        """Events that an endpoint has taken."""
        self._queue: deque[_Event] = deque()
        self._reordered: list[_Event] = []
        self._wanted = asyncio.Event()
        self._numbers = itertools.count(1)
        self._instance = ""

    async def __aenter__(self) -> Self:
        # As in distribution, each start of the registry is another instance.
        self._instance = secrets.token_hex(8)
        self._sending = asyncio.create_task(self._send_all())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sending.cancel()
        await asyncio.gather(self._sending, return_exceptions=True)
        self._queue.clear()
        self._reordered.clear()

    async def before_tag(self) -> None:
        """Waits for as long as distribution takes to write a tag that it has announced."""
        if self.endpoint is not None:
            await asyncio.sleep(self.tag_delay)

    def emit(self, about: Announcement) -> None:
        """Queues an event."""
        if self.endpoint is None:
            return
        event = _Event(next(self._numbers), time.time_ns(), about)
        fault = self._fault(about.method, about.repository)
        later, self._reordered = self._reordered, []
        if fault is None:
            self._queue.append(event)
        elif fault.reorder:
            self._reordered.append(event)
            asyncio.get_running_loop().call_later(_LONGEST_REORDER, self._send_late, event)
        elif not fault.drop:
            event = _Event(event.number, event.at, about, fault.delay)
            if fault.forge:
                self._queue.append(_Event(next(self._numbers), event.at, _forged(about)))
            self._queue += [event, event] if fault.double else [event]
        self._queue += later
        self._wanted.set()

    def _send_late(self, event: _Event) -> None:
        if event in self._reordered:
            self._reordered.remove(event)
            self._queue.append(event)
            self._wanted.set()

    async def _send_all(self) -> None:
        # Distribution makes a new connection for each event.
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                while self._queue:
                    await asyncio.sleep(self._queue[0].delay)
                    await self._send(session, self._queue[0])
                    self._queue.popleft()

    async def _send(self, session: aiohttp.ClientSession, event: _Event) -> None:
        """Sends one event until it is taken."""
        failures = 0
        while (endpoint := self.endpoint) is not None:
            if failures >= endpoint.threshold:
                await asyncio.sleep(endpoint.backoff)
            headers = {"Content-Type": self._media_type, "Authorization": f"Bearer {endpoint.token}"}
            try:
                async with (
                    asyncio.timeout(endpoint.timeout),
                    session.post(endpoint.url, json={"events": [self._document(event)]}, headers=headers) as answer,
                ):
                    if answer.status < 400:
                        self.sent += 1
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            failures += 1

    @property
    def _media_type(self) -> str:
        version = "v2" if self._traits.events_have_empty_fields else "v1"
        return f"application/vnd.docker.distribution.events.{version}+json"

    def _document(self, event: _Event) -> Json:
        """The event as the flavour of the registry writes it."""
        about = event.about
        size = {"size": about.size, "length": about.size} if about.size else {}
        url = {"url": f"http://dev/v2/{about.repository}/manifests/{about.digest}"} if size else {}
        target: Json = {"mediaType": about.media_type, "digest": about.digest, "size": 0, **size}
        if not self._traits.events_have_empty_fields:
            target = {name: value for name, value in target.items() if value}
        target |= {"repository": about.repository, **url}
        if about.tag:
            target["tag"] = about.tag
        return {
            "id": f"{self._instance}-{event.number}",
            "timestamp": _timestamp(event.at),
            "action": about.action,
            "target": target,
            "request": {
                "id": f"{self._instance}-{event.number}",
                "addr": "127.0.0.1",
                "host": "dev",
                "method": about.method,
                "useragent": "dev",
            },
            "actor": {"name": "dev"},
            "source": {"addr": "dev", "instanceID": self._instance},
        }


def _timestamp(at: int) -> str:
    """RFC 3339 with up to nine digits of a second, as Go writes it."""
    seconds, nanoseconds = divmod(at, 10**9)
    fraction = f".{nanoseconds:09}".rstrip("0").rstrip(".")
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}{fraction}Z"


def _forged(about: Announcement) -> Announcement:
    """An event that says what did not happen: a push of what does not exist."""
    digest = f"sha256:{secrets.token_hex(32)}"
    return Announcement("push", "PUT", about.repository, about.tag or "forged", digest, about.media_type, about.size)
