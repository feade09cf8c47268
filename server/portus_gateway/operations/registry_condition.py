"""How the registry is, as an answer instead of an error."""

from dataclasses import dataclass

from portus_gateway.aio import deadline
from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.distribution.errors import (
    RegistryFault,
    Unavailable,
    UntrustedAnswer,
    UpstreamTimeout,
)
from portus_gateway.errors import GatewayError
from portus_gateway.registry.protocol import Registry

# How long the registry may take to say anything, in seconds, and of what its caller is willing to wait: whoever asks
# whether the registry answers is not helped by a deadline that runs out.
_PATIENCE = 10.0
_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class RegistryCondition:
    """`reachable`: a registry answered, to whatever account. `error` is why it is of no use, None where all is well.

    `api_version` is empty where the registry said nothing of it.
    """

    reachable: bool
    api_version: str
    error: GatewayError | None


async def condition_of(registry: Registry) -> RegistryCondition:
    """Asks the registry. Never fails because of it."""
    remaining = deadline.remaining()
    patience = _PATIENCE if remaining is None else min(_PATIENCE, remaining * _SHARE)
    try:
        async with deadline.within(patience):
            version = await registry.ping()
    except DeadlineExceeded:
        late = UpstreamTimeout(f"the registry did not answer within {patience:.1f} s")
        return RegistryCondition(reachable=False, api_version="", error=late)
    except (Unavailable, RegistryFault, UntrustedAnswer) as error:
        # The latter two: what answers there does not do so as a registry does.
        return RegistryCondition(reachable=False, api_version="", error=error)
    except GatewayError as error:
        return RegistryCondition(reachable=True, api_version="", error=error)
    return RegistryCondition(reachable=True, api_version=version.api_version, error=None)
