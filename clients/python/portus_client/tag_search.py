"""Tags that the gateway's index finds."""

from dataclasses import dataclass
from datetime import UTC, datetime

from portus.registry.v1 import tag_history_pb2


@dataclass(frozen=True, slots=True)
class FoundTag:
    """A tag that `find_tags` found."""

    repository: str
    tag: str
    digest: str
    """What the tag points to, as far as the index knows. Empty if it is not known."""
    checked_time: datetime | None
    """When the index last asked the registry for the digest."""


def found_tag(message: tag_history_pb2.FoundTag) -> FoundTag:
    """Converts a tag."""
    checked = message.checked_time.ToDatetime(UTC) if message.HasField("checked_time") else None
    return FoundTag(message.repository, message.tag, message.digest, checked)
