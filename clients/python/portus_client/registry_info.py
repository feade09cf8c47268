"""What a gateway says of itself and of its registry."""

from dataclasses import dataclass
from datetime import timedelta

from portus_client.errors import RegistryError


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a gateway."""

    default_page_size: int
    """How many items a page has when none is asked for."""
    max_page_size: int
    """How many items a page has at most."""
    max_manifest_bytes: int
    """How many bytes a manifest may have."""
    max_concurrent_calls: int
    """How many calls the gateway serves at a time; one more raises `ResourceExhausted`."""
    max_call_duration: timedelta
    """How long a unary call may take, whatever its own deadline."""
    max_upstream_requests: int
    """How many requests the gateway makes of the registry at a time."""


@dataclass(frozen=True, slots=True)
class RegistryInfo:
    """The state of the registry, and what the gateway allows."""

    reachable: bool
    """Whether a registry answered at the address that the gateway has, to whatever account."""
    api_version: str
    """What the registry says of its API: `registry/2.0`. Empty where it said nothing."""
    gateway_version: str
    """The version of the gateway, such as `1.0.0`."""
    limits: Limits
    """The limits in force."""
    deletion_enabled: bool
    """Whether the gateway allows deletes. The registry has a switch of its own, which only a delete can ask."""
    problem: RegistryError | None = None
    """Why the registry cannot be used: not reached, or it rejects the gateway's account. None when all is well."""
