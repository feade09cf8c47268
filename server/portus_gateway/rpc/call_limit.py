"""The number of calls at the same time."""

from collections import Counter

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
            self._watches.check(owner)
            self._watches.take(owner)
            return
        self._calls.check(owner)
        if streaming:
            self._streams.check(owner)
            self._streams.take(owner)
        self._calls.take(owner)

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
        self._taken_by: Counter[str] = Counter()

    def check(self, owner: str) -> None:
        """Raises `TooManyCalls` if there is no place for `owner`."""
        left = self._limit - self._taken
        if left <= 0:
            raise TooManyCalls(f"the gateway serves its limit of {self._limit} {self._kind}: try again later")
        if left <= self._share <= self._taken_by[owner]:
            raise TooManyCalls(
                f"the gateway serves nearly its limit of {self._limit} {self._kind}, {self._taken_by[owner]} of them"
                " for you. The last places are for callers that have fewer: try again later"
            )

    def take(self, owner: str) -> None:
        self._taken += 1
        self._taken_by[owner] += 1

    def give_back(self, owner: str) -> None:
        self._taken -= 1
        self._taken_by[owner] -= 1
        if not self._taken_by[owner]:
            del self._taken_by[owner]
