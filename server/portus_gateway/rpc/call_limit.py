"""The number of calls at the same time."""

from portus_gateway.rpc.call_errors import TooManyCalls


class CallLimit:
    """Counts running calls, and refuses one too many instead of letting it wait.

    At most a quarter of `limit`, and at least one, may be streams: a listing takes as long as its reader likes, and
    must not keep short calls out.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._stream_limit = max(1, limit // 4)
        self._calls = 0
        self._streams = 0

    def enter(self, *, streaming: bool) -> None:
        """Takes a place, which `leave` gives back. Raises `TooManyCalls` if there is none."""
        if self._calls >= self._limit:
            raise TooManyCalls(f"the gateway serves its limit of {self._limit} calls: try again later")
        if streaming:
            if self._streams >= self._stream_limit:
                raise TooManyCalls(f"the gateway serves its limit of {self._stream_limit} streams: try again later")
            self._streams += 1
        self._calls += 1

    def leave(self, *, streaming: bool) -> None:
        self._calls -= 1
        if streaming:
            self._streams -= 1
