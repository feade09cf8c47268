"""The limits of a gateway."""

from dataclasses import dataclass

from portus_gateway.distribution.configuration import CONCURRENCY, DOWNLOADS, MANIFEST_LIMIT
from portus_gateway.distribution.page import LARGEST_PAGE

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = LARGEST_PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """The limits of a gateway. Durations are in seconds.

    `max_concurrent_calls`: calls at the same time, each until its answer has been read; one more is answered
    RESOURCE_EXHAUSTED. At most a quarter of them, and at least one, may be streams. The last quarter of both is for
    callers that have less than a quarter. Health and reflection do not count.
    `max_watches`: calls of WatchEvents at the same time; the last quarter is for callers that have fewer.
    `max_call_duration`: time limit for a unary call, until its answer has been read. A caller's own deadline can only
    be shorter.
    `max_stream_duration`: the same for a stream.
    `max_connection_age`: age at which a client is asked to reconnect, so that clients spread over all replicas. The
    calls on its old connection may finish.
    `max_unread_bytes`: memory for answers that their callers have not read yet; a quarter of it for each caller.
    `max_downloads`: blobs that are read at the same time; half of them for each caller.
    `max_manifest_bytes` and `max_upstream_requests` are limits of the Distribution client, which callers can read here.
    """

    max_concurrent_calls: int = 256
    max_watches: int = 1000
    max_call_duration: float = 120.0
    max_stream_duration: float = 3600.0
    max_connection_age: float = 1800.0
    max_unread_bytes: int = 256 * 1024 * 1024
    max_downloads: int = DOWNLOADS
    max_manifest_bytes: int = MANIFEST_LIMIT
    max_upstream_requests: int = CONCURRENCY

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be more than 0")
