"""A gateway that serves a test."""

from dataclasses import dataclass

from portus_client.aio_client import AsyncRegistryClient
from portus_client.client import RegistryClient
from portus_client.connection import DEFAULT_TIMEOUT
from portus_client.testing.registry_in_memory import RegistryInMemory


@dataclass(frozen=True, slots=True)
class GatewayUnderTest:
    """Where the gateway listens, and the registry that it serves."""

    address: str
    """`host:port`, for whatever client."""
    registry: RegistryInMemory
    """What the gateway serves; a test fills it."""

    def client(self, *, timeout: float = DEFAULT_TIMEOUT) -> RegistryClient:
        """A client of this gateway, to be used in a `with` or closed. `timeout` is that of a call, in seconds."""
        return RegistryClient(self.address, timeout=timeout)

    def async_client(self, *, timeout: float = DEFAULT_TIMEOUT) -> AsyncRegistryClient:
        """The same for asyncio."""
        return AsyncRegistryClient(self.address, timeout=timeout)
