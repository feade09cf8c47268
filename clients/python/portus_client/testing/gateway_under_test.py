"""The gateway of a test."""

from dataclasses import dataclass

from portus_client.aio_client import AsyncRegistryClient
from portus_client.client import RegistryClient
from portus_client.connection import DEFAULT_TIMEOUT
from portus_client.testing.registry_in_memory import RegistryInMemory


@dataclass(frozen=True, slots=True)
class GatewayUnderTest:
    """The address of the gateway, and its registry."""

    address: str
    """`host:port`, for any client."""
    registry: RegistryInMemory
    """The registry behind the gateway. The test fills it."""

    def client(self, *, timeout: float = DEFAULT_TIMEOUT) -> RegistryClient:
        """A client of this gateway. Use it in a `with`, or close it. `timeout` is for each call, in seconds."""
        return RegistryClient(self.address, timeout=timeout)

    def async_client(self, *, timeout: float = DEFAULT_TIMEOUT) -> AsyncRegistryClient:
        """An asyncio client of this gateway."""
        return AsyncRegistryClient(self.address, timeout=timeout)
