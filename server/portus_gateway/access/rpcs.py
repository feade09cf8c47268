"""The RPCs that a policy speaks of, by name and in groups."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

SERVICE: Final = "portus.registry.v1.RegistryService"

# What concerns no repository.
REGISTRY_RPCS: Final = frozenset({"GetRegistryInfo"})
READ: Final = frozenset({"Catalog", "StreamCatalog", "ListTags", "ResolveManifest", "GetManifest", "BatchGetManifests"})
DELETE: Final = frozenset({"DeleteManifest", "DeleteBlob"})
REPOSITORY_RPCS: Final = READ | DELETE
ALL: Final = REGISTRY_RPCS | REPOSITORY_RPCS

GROUPS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"read": REGISTRY_RPCS | READ, "delete": DELETE, "*": ALL}
)
