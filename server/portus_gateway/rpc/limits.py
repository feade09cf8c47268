"""What a gateway allows its callers."""

from dataclasses import dataclass

from portus_gateway.distribution.configuration import CONCURRENCY, MANIFEST_LIMIT
from portus_gateway.distribution.page import LARGEST_PAGE

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = LARGEST_PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """The limits of a gateway. Durations are in seconds.

    `max_concurrent_calls`: calls served at a time; one more is answered RESOURCE_EXHAUSTED. Streams get a quarter of
    them at most (but one at least), health and reflection are not counted.
    `max_call_duration`: how long a unary call may take, whatever its own deadline.
    `max_stream_duration`: the same for a stream.
    `max_connection_age`: after how long a connection is asked to go, so that clients spread over replicas anew. The
    calls on it may finish.
    `max_manifest_bytes` and `max_upstream_requests` are the Distribution client's; they are only told to callers here.
    """

    max_concurrent_calls: int = 256
    max_call_duration: float = 120.0
    max_stream_duration: float = 3600.0
    max_connection_age: float = 1800.0
    max_manifest_bytes: int = MANIFEST_LIMIT
    max_upstream_requests: int = CONCURRENCY

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} has to be more than 0")
