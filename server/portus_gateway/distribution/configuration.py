"""How to reach a registry: everything that the client has to be told."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from portus_gateway.distribution.credentials import Credentials
from portus_gateway.distribution.origin import Origin

MANIFEST_LIMIT = 4 * 1024 * 1024
CONCURRENCY = 8


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
    """Bounds of one HTTP request, in seconds. The caller's deadline, where earlier, goes first."""

    connect: float = 5.0
    """Until the connection stands, TLS included."""
    read: float = 30.0
    """Between two reads of an answer."""
    total: float = 60.0
    """For the whole request and answer."""
    token: float = 10.0
    """For a whole token, retries included: requests to the registry wait for it."""
    delete: float = 100.0
    """For a whole delete: a registry takes some 2 ms for each tag on the digest and says nothing until it is done. A
    little less than the duration of a call, so that its caller still learns the outcome.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When to ask again. Only for what can be asked twice without harm; never for a delete."""

    attempts: int = 4
    """How many times a request is sent at most; 1 is no retry."""
    first_delay: float = 0.1
    """The longest first wait, in seconds. It doubles each time; the actual wait is random below it."""
    longest_delay: float = 5.0
    """The longest wait, in seconds. A server that asks for a longer one gets no retry: its answer is the error."""
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
    """None: an anonymous registry."""
    authentication: Authentication = Authentication.AUTO
    token_realm: str | None = None
    """The only realm, besides the registry's own origin, that may see the password."""
    blob_origins: frozenset[Origin] = frozenset()
    """Where the registry may redirect a read of a blob, besides to itself: its storage."""
    ca_file: Path | None = None
    """Certificates (PEM) to trust besides the system's."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    concurrency: int = CONCURRENCY
    """How many requests the registry gets at a time; fewer while it says that these are too many."""
    manifest_limit: int = MANIFEST_LIMIT
    """The largest manifest that is read, in bytes."""
    use_environment_proxy: bool = False
    """Whether HTTP_PROXY and its like apply. Off: they took over internal calls (Portus #2312)."""
    user_agent: str = "portus-gateway"
