"""The state of a gateway and of its registry."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from portus_client.errors import RegistryError


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a gateway."""

    default_page_size: int
    """Number of items on a page if the request does not set one."""
    max_page_size: int
    """Largest number of items on a page."""
    max_manifest_bytes: int
    """Largest manifest, in bytes."""
    max_concurrent_calls: int
    """Largest number of calls at the same time. One more call raises `ResourceExhausted`."""
    max_call_duration: timedelta
    """Longest duration of a unary call, even if its own deadline is later."""
    max_upstream_requests: int
    """Largest number of requests to the registry at the same time."""


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """The live index of a gateway, from which it can answer without the registry."""

    state: Literal["building", "ready", "unavailable", "unknown"]
    """`building`: it has not read the whole registry yet. `unavailable`: its store cannot be used now. Answers come
    from the registry then. `unknown`: a state that this client does not know."""
    as_of: datetime | None = None
    """When the last complete look at the registry's catalog began. None before the first one."""


@dataclass(frozen=True, slots=True)
class RegistryInfo:
    """The state of the registry, and what the gateway allows."""

    reachable: bool
    """Whether a registry answers at the address that the gateway is configured with."""
    api_version: str
    """The registry's API version header: `registry/2.0`. Empty if the registry does not send it."""
    gateway_version: str
    """The version of the gateway, such as `1.0.0`."""
    limits: Limits
    """The limits in force."""
    deletion_enabled: bool
    """Whether the gateway allows deletes. The registry can still refuse them; only a delete shows that."""
    problem: RegistryError | None = None
    """Why the registry cannot be used: it does not answer, or it rejects the gateway's account. None if it can.

    With the reason ACCOUNT_NOT_ASKED_FOR, the registry can be used, but may hide private repositories, because it has
    not asked for the gateway's account yet.
    """
    index: IndexStatus | None = None
    """The gateway's live index. None if it has none."""
