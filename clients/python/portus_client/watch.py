"""Watches: the events that a gateway sends, and how a watch goes on after an interruption."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias

import grpc
from google.protobuf.duration_pb2 import Duration

from portus.registry.v1 import watch_pb2
from portus_client.errors import RegistryError

EventType: TypeAlias = Literal[
    "TAG_CREATED", "TAG_MOVED", "TAG_DELETED", "REPOSITORY_CREATED", "REPOSITORY_DELETED", "UNKNOWN"
]

LONGEST_WATCH: Final = 24 * 3600.0
"""The deadline of one call, in seconds. The gateway ends a watch earlier, and the client goes on with the next."""
_TYPES: Final[dict[int, EventType]] = {
    watch_pb2.Event.TAG_CREATED: "TAG_CREATED",
    watch_pb2.Event.TAG_MOVED: "TAG_MOVED",
    watch_pb2.Event.TAG_DELETED: "TAG_DELETED",
    watch_pb2.Event.REPOSITORY_CREATED: "REPOSITORY_CREATED",
    watch_pb2.Event.REPOSITORY_DELETED: "REPOSITORY_DELETED",
}
# Interruptions after which a watch goes on. With a connection that is lost, gRPC says UNAVAILABLE.
_PASSING: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED}
)
_LOST_CURSORS: Final = frozenset({"CURSOR_EXPIRED", "CURSOR_UNKNOWN"})
# In seconds.
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Event:
    """A change in the registry, as the gateway's index saw it. To receive it twice does no harm."""

    type: EventType
    """What happened. `UNKNOWN` is a type that this client does not know."""
    repository: str
    tag: str
    """Empty for events of repositories."""
    digest: str
    """The digest that the tag points to now. Empty if it is gone."""
    previous_digest: str
    """The digest that the tag pointed to before. Empty if unknown."""
    observed_time: datetime
    """When the index saw the change."""
    notified_time: datetime | None
    """When the registry announced the change. None if it did not. Not proven."""
    actor: str
    """Who made the change, as the registry's notification says. Empty if unknown. Not proven."""


@dataclass(frozen=True, slots=True)
class WatchUpdate:
    """Some events, or a heartbeat without events."""

    events: tuple[Event, ...]
    """In the order in which the index saw the changes."""
    cursor: str
    """Where a new watch continues after this update."""
    as_of: datetime | None = None
    """Every change that the index saw up to this time has been sent. None while the current state is listed."""
    current_state_complete: bool = False
    """Whether everything that `current_state` lists has been sent."""
    list_again: bool = False
    """Whether events were lost, because the cursor was too old or is not known any more. Forget what you know: the
    updates after this one list the current state."""


class WatchProgress:
    """How far a watch is: makes the request of each call from what came before."""

    def __init__(
        self,
        *,
        prefix: str,
        repositories: Iterable[str],
        after_cursor: str,
        current_state: bool,
        heartbeat_interval: timedelta | None,
    ) -> None:
        if after_cursor and current_state:
            raise ValueError("a watch begins after a cursor or with the current state, not with both")
        self._prefix = prefix
        self._repositories = tuple(repositories)
        self._cursor = after_cursor
        self._current_state = current_state
        self._heartbeat_interval = heartbeat_interval
        self._failures = 0

    def request(self) -> watch_pb2.WatchEventsRequest:
        """The request of the next call."""
        request = watch_pb2.WatchEventsRequest(prefix=self._prefix, repositories=self._repositories)
        if self._cursor:
            request.after_cursor = self._cursor
        elif self._current_state:
            request.current_state = True
        if self._heartbeat_interval is not None:
            interval = Duration()
            interval.FromTimedelta(self._heartbeat_interval)
            request.heartbeat_interval.CopyFrom(interval)
        return request

    def received(self, message: watch_pb2.WatchEventsResponse) -> WatchUpdate:
        """A message has come."""
        self._cursor = message.cursor
        self._failures = 0
        return WatchUpdate(
            events=tuple(map(watch_event, message.events)),
            cursor=message.cursor,
            as_of=message.as_of.ToDatetime(UTC) if message.HasField("as_of") else None,
            current_state_complete=message.current_state_complete,
        )

    def failed(self, error: RegistryError) -> WatchUpdate | None:
        """A call has failed. The result is what the caller has to know. Raises `error` if the watch cannot go on."""
        if error.code is grpc.StatusCode.OUT_OF_RANGE and error.reason in _LOST_CURSORS and self._cursor:
            self._cursor, self._current_state = "", True
            return WatchUpdate((), "", list_again=True)
        if error.code not in _PASSING:
            raise error
        self._failures += 1
        return None

    def pause(self, error: RegistryError | None) -> float:
        """How many seconds to wait before the next call."""
        if not self._failures:
            return 0.0
        asked = error.retry_delay.total_seconds() if error is not None and error.retry_delay is not None else 0.0
        own = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self._failures - 1, 16))
        # Spread, so that many clients do not come back at the same time.
        return max(asked, own * random.uniform(0.5, 1.0))  # noqa: S311


def watch_event(message: watch_pb2.Event) -> Event:
    """Converts an event."""
    return Event(
        type=_TYPES.get(message.type, "UNKNOWN"),
        repository=message.repository,
        tag=message.tag,
        digest=message.digest,
        previous_digest=message.previous_digest,
        observed_time=message.observed_time.ToDatetime(UTC),
        notified_time=message.notified_time.ToDatetime(UTC) if message.HasField("notified_time") else None,
        actor=message.actor,
    )
