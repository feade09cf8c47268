"""Messages about changes and tags of the index."""

from typing import Final

from portus.registry.v1.tag_history_pb2 import FoundTag
from portus.registry.v1.watch_pb2 import Event, WatchEventsResponse
from portus_gateway.index.store import Change, ChangeType, TagEntry
from portus_gateway.operations.watching import WatchMessage
from portus_gateway.rpc import conversion

_TYPES: Final = {
    ChangeType.TAG_CREATED: Event.TAG_CREATED,
    ChangeType.TAG_MOVED: Event.TAG_MOVED,
    ChangeType.TAG_DELETED: Event.TAG_DELETED,
    ChangeType.REPOSITORY_CREATED: Event.REPOSITORY_CREATED,
    ChangeType.REPOSITORY_DELETED: Event.REPOSITORY_DELETED,
}


def response(message: WatchMessage) -> WatchEventsResponse:
    return WatchEventsResponse(
        events=map(event, message.changes),
        cursor=message.cursor,
        current_state_complete=message.current_state_complete,
        as_of=None if message.as_of is None else conversion.timestamp(message.as_of),
    )


def event(change: Change) -> Event:
    return Event(
        type=_TYPES[change.type],
        repository=change.repository,
        tag=change.tag,
        digest="" if change.digest is None else change.digest.text,
        previous_digest="" if change.previous_digest is None else change.previous_digest.text,
        observed_time=conversion.timestamp(change.observed_at),
        notified_time=None if change.notified_at is None else conversion.timestamp(change.notified_at),
        actor=change.actor,
    )


def found_tag(entry: TagEntry) -> FoundTag:
    return FoundTag(
        repository=entry.repository,
        tag=entry.tag,
        digest="" if entry.digest is None else entry.digest.text,
        checked_time=None if entry.checked_at is None else conversion.timestamp(entry.checked_at),
    )
