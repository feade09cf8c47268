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


class IndexDisabled(LiveIndexError):
    """The gateway has no index."""

    reason = "INDEX_DISABLED"

    def __init__(self) -> None:
        super().__init__("this gateway has no index: its operator can set PORTUS_INDEX")


class IndexNotReady(LiveIndexError):
    """The index has not read the whole registry yet."""

    reason = "INDEX_NOT_READY"

    def __init__(self) -> None:
        super().__init__("the index has not read the whole registry yet: try again later", retry_after=1.0)


class CursorExpired(LiveIndexError):
    """The changes after the cursor are not kept any more."""

    reason = "CURSOR_EXPIRED"

    def __init__(self) -> None:
        super().__init__("the changes after this cursor are not kept any more: list again, and watch from there")


class CursorUnknown(LiveIndexError):
    """The cursor is of another index, or of this one before it was rebuilt."""

    reason = "CURSOR_UNKNOWN"

    def __init__(self) -> None:
        super().__init__("the cursor is not one of this index: list again, and watch from there")


class StoreError(Exception):
    """The store cannot be used. The message says why, and what to do. It has no secret."""


class StoreUnusable(StoreError):
    """The store will not be usable before somebody does something: it is of another registry or version."""
