"""What the client reports for metrics."""

from typing import Protocol


class UpstreamObserver(Protocol):
    """Observes requests and tokens. Its methods must return at once and never raise."""

    def request_finished(self, *, method: str, route: str, outcome: str, seconds: float) -> None:
        """A request to the registry or the token service ended.

        `route` is `ping`, `catalog`, `tags`, `manifests`, `blobs` or `token`; `outcome` is the HTTP status, or
        `unreachable`, `timeout`, `invalid` or `cancelled`.
        """
        ...

    def token_fetched(self, *, outcome: str, seconds: float) -> None:
        """A token was requested. `outcome` is `ok`, `rejected` or `failed`."""
        ...

    def token_reused(self) -> None:
        """A request uses a token that was kept."""
        ...

    def retried(self, *, route: str) -> None:
        """A request will be sent again."""
        ...

    def blob_read(self, size: int) -> None:
        """So many bytes of a blob that is read piece by piece have come."""
        ...


class NotObserved:
    """Ignores everything."""

    def request_finished(self, *, method: str, route: str, outcome: str, seconds: float) -> None:
        pass

    def token_fetched(self, *, outcome: str, seconds: float) -> None:
        pass

    def token_reused(self) -> None:
        pass

    def retried(self, *, route: str) -> None:
        pass

    def blob_read(self, size: int) -> None:
        pass
