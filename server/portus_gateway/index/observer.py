"""What happens in the index, for metrics."""

from typing import Literal, Protocol

from portus_gateway.index.store import IndexState

NotificationOutcome = Literal["accepted", "ignored", "invalid", "unknown_repository_dropped"]
RequestOutcome = Literal["accepted", "unauthorized", "malformed", "too_large", "busy", "store_unavailable"]
ReadOutcome = Literal["applied", "taken_over", "failed"]


class IndexObserver(Protocol):
    """Observes the index. Its methods must return at once and never raise."""

    def notified(self, outcome: NotificationOutcome, count: int) -> None:
        """Events of notifications came in."""
        ...

    def notification_request(self, outcome: RequestOutcome) -> None:
        """A request with notifications was answered."""
        ...

    def repository_read(self, outcome: ReadOutcome, seconds: float) -> None:
        """A repository was read for the index."""
        ...

    def changes_found(self, source: Literal["notification", "walk"], count: int) -> None:
        """A read found changes. `walk`: nothing had announced them, so the walk has repaired the index."""
        ...

    def hints_unconfirmed(self, count: int) -> None:
        """What notifications said was never seen in the registry, and is given up."""
        ...

    def notification_delay(self, seconds: float) -> None:
        """How long after its event a change was in the index."""
        ...

    def looked_at(self, state: IndexState | None, *, leads: bool) -> None:
        """The state of the index, with its numbers; None while the store cannot be used. `leads`: this process does."""
        ...

    def watching(self, change: int) -> None:
        """So many watches more, or less, run."""
        ...

    def watched(self, lag: float) -> None:
        """Events were sent to a watcher, so many seconds after the index saw the last of them."""
        ...

    def walked(self, seconds: float, *, held: bool) -> None:
        """A walk ended."""
        ...

    def walk_failed(self) -> None:
        """A walk did not come to its end."""
        ...
