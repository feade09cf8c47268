"""Tags that the gateway's index finds."""

from dataclasses import dataclass
from datetime import UTC, datetime

import grpc

from portus.registry.v1 import tag_history_pb2
from portus_client import errors


@dataclass(frozen=True, slots=True)
class FoundTag:
    """A tag that `find_tags` found."""

    repository: str
    tag: str
    digest: str
    """What the tag points to, as far as the index knows. Empty if it is not known."""
    checked_time: datetime | None
    """When the index last asked the registry for the digest."""


class PageTokens:
    """The token of each page of one listing."""

    def __init__(self) -> None:
        self.token = ""
        self.more = True
        self._seen = {""}

    def advance(self, token: str) -> None:
        """Goes on to the next page. Raises `RegistryError` if its token came before: the listing is endless."""
        self.more = bool(token)
        if token in self._seen and token:
            raise errors.client_error(
                grpc.StatusCode.INTERNAL, "the gateway repeats a page token, so the listing has no end"
            )
        self._seen.add(token)
        self.token = token


def found_tag(message: tag_history_pb2.FoundTag) -> FoundTag:
    """Converts a tag."""
    checked = message.checked_time.ToDatetime(UTC) if message.HasField("checked_time") else None
    return FoundTag(message.repository, message.tag, message.digest, checked)
