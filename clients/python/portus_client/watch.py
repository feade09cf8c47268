"""Watches: the events that a gateway sends, and how a watch goes on after an interruption."""

import math
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias

import grpc
from google.protobuf.duration_pb2 import Duration

from portus.registry.v1 import watch_pb2
from portus_client.errors import RegistryError, client_error

EventType: TypeAlias = Literal[
    "TAG_CREATED", "TAG_MOVED", "TAG_DELETED", "REPOSITORY_CREATED", "REPOSITORY_DELETED", "UNKNOWN"
]

LONGEST_WATCH: Final = 24 * 3600.0
"""The deadline of one call, in seconds. The gateway ends a watch earlier, and the client goes on with the next."""
GIVE_UP_AFTER: Final = timedelta(minutes=10)
"""How long a watch tries to go on while no message comes, unless the caller says otherwise."""
_TYPES: Final[dict[int, EventType]] = {
    watch_pb2.Event.TAG_CREATED: "TAG_CREATED",
    watch_pb2.Event.TAG_MOVED: "TAG_MOVED",
    watch_pb2.Event.TAG_DELETED: "TAG_DELETED",
    watch_pb2.Event.REPOSITORY_CREATED: "REPOSITORY_CREATED",
    watch_pb2.Event.REPOSITORY_DELETED: "REPOSITORY_DELETED",
}
# After these, a watch goes on. gRPC says UNAVAILABLE for a connection that is lost.
_PASSING: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED}
)
# Without a reason, these come from a proxy or from HTTP/2, when a stream breaks.
_BROKEN_STREAMS: Final = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})
_INVALID: Final = "CREDENTIAL_INVALID"
_LOST_CURSORS: Final = frozenset({"CURSOR_EXPIRED", "CURSOR_UNKNOWN"})
# In seconds.
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 30.0
# After a call that lasted so long, pauses begin anew.
_STEADY: Final = 10.0
# A watch without any message for so many heartbeats is broken, but not before so many seconds.
_MISSED_HEARTBEATS: Final = 3
_SHORTEST_SILENCE: Final = 10.0
_DEFAULT_HEARTBEAT: Final = timedelta(seconds=15)


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
    """When the index saw the change. In an event of `current_state`: when the index last looked."""
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
    """Every change that the index saw before this time has been sent, but for one that was just being written. None
    while the current state is listed."""
    current_state_complete: bool = False
    """Whether everything that `current_state` lists has been sent."""
    list_again: bool = False
    """Whether events were lost, because the cursor was too old or is not known any more. Forget what you know: the
    updates after this one list the current state."""


class WatchProgress:
    """How far a watch is: the request of the next call, and whether and when it is made.

    `start_timeout` is for a watch that no gateway has answered yet, in seconds.
    """

    def __init__(
        self,
        *,
        prefix: str,
        repositories: Iterable[str],
        after_cursor: str,
        current_state: bool,
        heartbeat_interval: timedelta | None,
        give_up_after: timedelta | None,
        start_timeout: float,
    ) -> None:
        if after_cursor and current_state:
            raise ValueError("a watch begins after a cursor or with the current state, not with both")
        self._prefix = prefix
        self._repositories = tuple(repositories)
        self._cursor = after_cursor
        self._current_state = current_state
        self._heartbeat_interval = heartbeat_interval
        self._give_up_after = math.inf if give_up_after is None else give_up_after.total_seconds()
        self._start_timeout = start_timeout
        self._called = 0.0
        # Of the calls since the last that lasted.
        self._failures = 0
        # When the first call failed after the last message.
        self._failing_since: float | None = None
        self._has_message = False
        self._is_answered = False
        self._lists_again = False

    @property
    def longest_silence(self) -> float:
        """After so many seconds without a message, a call is broken."""
        interval = self._heartbeat_interval or _DEFAULT_HEARTBEAT
        return max(_MISSED_HEARTBEATS * interval.total_seconds(), _SHORTEST_SILENCE)

    def request(self) -> watch_pb2.WatchEventsRequest:
        """The request of the next call, which is made now."""
        self._called = time.monotonic()
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
        self._failing_since = None
        self._has_message = self._is_answered = True
        self._lists_again = False
        return WatchUpdate(
            events=tuple(map(watch_event, message.events)),
            cursor=message.cursor,
            as_of=message.as_of.ToDatetime(UTC) if message.HasField("as_of") else None,
            current_state_complete=message.current_state_complete,
        )

    def is_silent(self) -> RegistryError:
        """The error of a call that was ended after the longest silence."""
        return client_error(
            grpc.StatusCode.UNAVAILABLE,
            f"the watch received nothing for {self.longest_silence:g} s, not even a heartbeat",
        )

    def ended(self) -> float:
        """The gateway has ended a call without an error. The result is the pause before the next call, in seconds."""
        return self._pause()

    def failed(self, error: RegistryError) -> tuple[WatchUpdate | None, float]:
        """A call has failed. The result is what the caller has to know, and the pause before the next call, in seconds.

        Raises `error` if it would come again, or if the watch has tried for long enough.
        """
        now = time.monotonic()
        if error.reason:
            self._is_answered = True
        lost = error.code is grpc.StatusCode.OUT_OF_RANGE and error.reason in _LOST_CURSORS
        if not lost and not self._is_passing(error):
            raise error
        pause = self._pause()
        if error.retry_delay is not None:
            pause += error.retry_delay.total_seconds()
        if self._failing_since is None:
            self._failing_since = now
        patience = self._give_up_after if self._is_answered else min(self._give_up_after, self._start_timeout)
        if now + pause - self._failing_since > patience:
            raise error
        if not lost:
            return None, pause
        self._cursor, self._current_state = "", True
        told, self._lists_again = self._lists_again, True
        return None if told else WatchUpdate((), "", list_again=True), pause

    def _is_passing(self, error: RegistryError) -> bool:
        if error.code is grpc.StatusCode.UNAUTHENTICATED and error.reason == _INVALID:
            # The credential has expired during the watch, or was replaced: the next call has the newest one.
            return self._has_message and self._failing_since is None
        return error.code in _PASSING or (self._has_message and not error.reason and error.code in _BROKEN_STREAMS)

    def _pause(self) -> float:
        if time.monotonic() - self._called >= _STEADY:
            self._failures = 0
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self._failures, 16))
        self._failures += 1
        # Spread, so that many clients do not come back at the same time.
        return pause * random.uniform(0.5, 1.0)  # noqa: S311


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
