"""The configuration of the client: the registry, the account, and limits."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from portus_gateway.distribution.credentials import Credentials
from portus_gateway.distribution.origin import Origin

MANIFEST_LIMIT = 4 * 1024 * 1024
CONCURRENCY = 8
DOWNLOADS = 32


class Authentication(Enum):
    """How the client shows its account to the registry."""

    AUTO = "auto"
    """As the registry asks for it. A registry that answers without asking is asked for something that needs a right."""
    TOKEN = "token"  # noqa: S105  (a word, no secret)
    """By a token of the token service, from the first request on. The password goes to the token service alone."""
    BASIC = "basic"
    """By the password itself, from the first request on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Time limits of one HTTP request, in seconds. If the caller's deadline is earlier, it applies instead."""

    connect: float = 5.0
    """For connecting, including the TLS handshake."""
    read: float = 30.0
    """For the next part of an answer."""
    total: float = 60.0
    """For the request and the whole answer."""
    token: float = 10.0
    """For a whole token, retries included: requests to the registry wait for it."""
    delete: float = 100.0
    """For a whole delete: a registry takes some 2 ms for each tag on the digest and says nothing until it is done. A
    little less than the duration of a call, so that its caller still learns the outcome.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a request is sent again. This applies to reads only: a delete is sent once."""

    attempts: int = 4
    """How often a request is sent at most. 1 means no retry."""
    first_delay: float = 0.1
    """The limit of the first pause, in seconds. The limit doubles each time, and the pause is random below it."""
    longest_delay: float = 5.0
    """The longest pause, in seconds. If a server asks for a longer one, there is no retry."""
    clock_delay: float = 1.0
    """How long to wait, in seconds, before a new token that the registry refused is sent once more: it becomes valid
    when the registry's clock has caught up with that of the token service.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One registry and the account to use there."""

    url: str
    """Scheme, host and port: `https://registry.example:5000`."""
    credentials: Credentials | None = None
    """None: the registry is used without an account."""
    authentication: Authentication = Authentication.AUTO
    token_realm: str | None = None
    """Address of the token service. Only it and the registry's own origin get the password."""
    blob_origins: frozenset[Origin] = frozenset()
    """Where the registry may redirect a read of a blob, besides to itself: its storage."""
    ca_file: Path | None = None
    """CA certificates (PEM) to trust in addition to those of the system."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    concurrency: int = CONCURRENCY
    """Maximum number of requests at the same time; fewer while the registry is overloaded."""
    downloads: int = DOWNLOADS
    """Maximum number of blobs that are read piece by piece at the same time, besides those requests."""
    manifest_limit: int = MANIFEST_LIMIT
    """The largest manifest that is read, in bytes."""
    use_environment_proxy: bool = False
    """Whether HTTP_PROXY and similar variables apply. By default they do not, because they broke internal calls (Portus
    #2312).
    """
    user_agent: str = "portus-gateway"
