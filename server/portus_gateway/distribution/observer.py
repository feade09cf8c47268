"""What the client tells whoever counts: metrics, without the client knowing of any."""

from typing import Protocol


class UpstreamObserver(Protocol):
    """Is told of what the client does. Must return at once and never raise."""

    def request_finished(self, *, method: str, route: str, outcome: str, seconds: float) -> None:
        """A request to the registry or the token service ended.

        `route` is `ping`, `catalog`, `tags`, `manifests`, `blobs` or `token`; `outcome` is the HTTP status, or
        `unreachable`, `timeout`, `invalid` or `cancelled`.
        """
        ...

    def token_fetched(self, *, outcome: str, seconds: float) -> None:
        """A token was asked for; `outcome` is `ok`, `rejected` or `failed`."""
        ...

    def token_reused(self) -> None:
        """A request goes out with a token that was there already."""
        ...

    def retried(self, *, route: str) -> None:
        """A request is about to be sent again."""
        ...


class NotObserved:
    """Observes nothing."""

    def request_finished(self, *, method: str, route: str, outcome: str, seconds: float) -> None:
        pass

    def token_fetched(self, *, outcome: str, seconds: float) -> None:
        pass

    def token_reused(self) -> None:
        pass

    def retried(self, *, route: str) -> None:
        pass
