"""Clients for the tests of this folder: quick to give up, quick to retry."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from yarl import URL

from portus_gateway.distribution import (
    Authentication,
    Configuration,
    Credentials,
    DistributionClient,
    RetryPolicy,
    StaticPassword,
    Timeouts,
    UpstreamObserver,
)
from portus_gateway.distribution.origin import Origin

PASSWORD = "correct-horse-battery"
PORTUS = Credentials("portus", StaticPassword(PASSWORD))
QUICK = Timeouts(connect=2, read=2, total=5, delete=0.5)
IMPATIENT = RetryPolicy(attempts=3, first_delay=0.001, longest_delay=1, clock_delay=0.01)


@dataclass
class Counting:
    """An observer that keeps all that it sees."""

    requests: list[tuple[str, str, str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    retries: list[str] = field(default_factory=list)
    blob_bytes: int = 0

    def request_finished(self, *, method: str, route: str, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.requests.append((method, route, outcome))

    def token_fetched(self, *, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.tokens.append(outcome)

    def token_reused(self) -> None:
        pass

    def blob_read(self, size: int) -> None:
        self.blob_bytes += size

    def retried(self, *, route: str) -> None:
        self.retries.append(route)


def client(
    url: str,
    *,
    realm: str | None = None,
    credentials: Credentials | Literal["by realm"] | None = "by realm",
    authentication: Authentication = Authentication.AUTO,
    observer: UpstreamObserver | None = None,
    timeouts: Timeouts = QUICK,
    retries: RetryPolicy = IMPATIENT,
    concurrency: int = 8,
    downloads: int = 8,
    blob_origins: Iterable[str] = (),
    ca_file: Path | None = None,
) -> DistributionClient:
    """A client that has an account where there is a token service, unless `credentials` says otherwise."""
    if credentials == "by realm":
        credentials = None if realm is None else PORTUS
    return DistributionClient(
        Configuration(
            url=url,
            credentials=credentials,
            authentication=authentication,
            token_realm=realm,
            timeouts=timeouts,
            retries=retries,
            concurrency=concurrency,
            downloads=downloads,
            ca_file=ca_file,
            blob_origins=frozenset(Origin.of(URL(origin)) for origin in blob_origins),
        ),
        observer,
    )
