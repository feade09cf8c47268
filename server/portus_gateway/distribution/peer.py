"""The servers that requests go to."""

from dataclasses import dataclass

from portus_gateway.distribution.concern import Concern


@dataclass(frozen=True, slots=True)
class Peer:
    """A server: its name in messages, and the part of the configuration that has its address."""

    name: str
    address: Concern


REGISTRY = Peer("the registry", Concern.REGISTRY_URL)
STORAGE = Peer("the registry's storage", Concern.BLOB_ORIGINS)
TOKEN_SERVICE = Peer("the token service", Concern.TOKEN_REALM)
