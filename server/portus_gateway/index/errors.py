"""What the index cannot answer, and why."""

from portus_gateway.errors import GatewayError


class LiveIndexError(GatewayError):
    """The base of the index's errors."""

    concerns_resource = False


class IndexUnavailable(LiveIndexError):
    """The index's store cannot be used now. The log says why."""

    reason = "INDEX_UNAVAILABLE"

    def __init__(self, operator_detail: str = "") -> None:
        super().__init__(
            "the index cannot be used now: try again later", retry_after=1.0, operator_detail=operator_detail
        )


class StoreError(Exception):
    """The store cannot be used. The message says why, and what to do. It has no secret."""


class StoreUnusable(StoreError):
    """The store will not be usable before somebody does something: it is of another registry or version."""
