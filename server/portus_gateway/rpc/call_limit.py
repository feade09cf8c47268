"""The number of calls at the same time."""

from portus_gateway.rpc.call_errors import TooManyCalls


class CallLimit:
    """Counts running calls, and refuses one too many instead of letting it wait.

    At most a quarter of `limit`, and at least one, may be streams: a listing takes as long as its reader likes, and
    must not keep short calls out. The last quarter of the places, for calls and for streams, is for callers that hold
    less than a quarter: no caller can take all of them. Watches, which may last for hours, have `watch_limit` places
    apart from these.
    """

    def __init__(self, limit: int, watch_limit: int = 1000) -> None:
        self._calls = _Places("calls", limit)
        self._streams = _Places("streams", max(1, limit // 4))
        self._watches = _Places("watches", watch_limit)

    def enter(self, owner: str, *, streaming: bool, watching: bool = False) -> None:
        """Takes a place for `owner`, which `leave` gives back. Raises `TooManyCalls` if there is none."""
        if watching:
            self._watches.take(owner)
            return
        self._calls.take(owner)
        if streaming:
            try:
                self._streams.take(owner)
            except TooManyCalls:
                self._calls.give_back(owner)
                raise

    def leave(self, owner: str, *, streaming: bool, watching: bool = False) -> None:
        if watching:
            self._watches.give_back(owner)
            return
        self._calls.give_back(owner)
        if streaming:
            self._streams.give_back(owner)


class _Places:
    def __init__(self, kind: str, limit: int) -> None:
        self._kind = kind
        self._limit = limit
        self._share = limit // 4
        self._taken = 0
        self._taken_by: dict[str, int] = {}

    def take(self, owner: str) -> None:
        """Takes a place. Raises `TooManyCalls` if there is none for `owner`."""
        left = self._limit - self._taken
        own = self._taken_by.get(owner, 0)
        if left <= 0:
            raise TooManyCalls(f"the gateway serves its limit of {self._limit} {self._kind}: try again later")
        if left <= self._share <= own:
            raise TooManyCalls(
                f"the gateway serves nearly its limit of {self._limit} {self._kind}, {own} of them"
                " for you. The last places are for callers that have fewer: try again later"
            )
        self._taken += 1
        self._taken_by[owner] = own + 1

    def give_back(self, owner: str) -> None:
        self._taken -= 1
        own = self._taken_by[owner] - 1
        if own:
            self._taken_by[owner] = own
        else:
            del self._taken_by[owner]
