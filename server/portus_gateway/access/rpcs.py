"""The RPCs of the contract, one row each: what access control and errors need to know of an RPC.

To add an RPC, add its row. A test compares the rows with the contract.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

SERVICE: Final = "portus.registry.v1.RegistryService"

Missing = Literal["NAME_UNKNOWN", "MANIFEST_UNKNOWN", "BLOB_UNKNOWN"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rpc:
    """One RPC.

    `group` is the group that a policy allows it with.
    `missing` is the error's reason when the repository is absent or hidden, or when what the RPC asks for in it is.
    `right` is the RPC whose right a request about one repository needs; None means this RPC's own right.
    `in_repository` is False when the RPC concerns no repository.
    `lists_repositories` is True when the answer contains the repositories that the caller may see.
    `streams` is True when the server streams its answer.
    `watches` is True when the stream has no end of its own. Such calls have limits of their own.
    `outlives_credential` is True when a stream that has begun may be read to its end, although its caller's credential
    is not valid any more: one blob, which takes as long as its size and the network say.
    `composed` is True when each request to the registry needs the right of the RPC that makes it for itself: ListTags
    with a view shows what ResolveManifest, GetManifest and GetImageConfig show.
    `shows_manifests` is True when a manifest that is read by its digest needs the right of GetManifest: ListReferrers
    finds referrers with its own right, and shows their layers.
    """

    name: str
    group: Literal["read", "pull", "delete"]
    missing: Missing = "NAME_UNKNOWN"
    right: "Rpc | None" = None
    in_repository: bool = True
    lists_repositories: bool = False
    streams: bool = False
    watches: bool = False
    outlives_credential: bool = False
    composed: bool = False
    shows_manifests: bool = False

    @property
    def repository_right(self) -> "Rpc":
        """The RPC whose right a request about one repository needs."""
        return self.right or self

    @property
    def deletes(self) -> bool:
        return self.group == "delete"


_LIST_TAGS: Final = Rpc(name="ListTags", group="read", composed=True)
_RESOLVE_MANIFEST: Final = Rpc(name="ResolveManifest", group="read", missing="MANIFEST_UNKNOWN")
_GET_MANIFEST: Final = Rpc(name="GetManifest", group="read", missing="MANIFEST_UNKNOWN")
_GET_IMAGE_CONFIG: Final = Rpc(name="GetImageConfig", group="read", missing="MANIFEST_UNKNOWN")
_DELETE_MANIFEST: Final = Rpc(name="DeleteManifest", group="delete", missing="MANIFEST_UNKNOWN")
_ROWS: Final = (
    Rpc(name="GetRegistryInfo", group="read", in_repository=False),
    Rpc(name="Catalog", group="read", right=_LIST_TAGS, lists_repositories=True),
    Rpc(name="StreamCatalog", group="read", right=_LIST_TAGS, lists_repositories=True, streams=True),
    _LIST_TAGS,
    Rpc(name="WatchEvents", group="read", right=_LIST_TAGS, lists_repositories=True, streams=True, watches=True),
    Rpc(name="ListTagHistory", group="read", right=_LIST_TAGS),
    Rpc(name="FindTags", group="read", right=_LIST_TAGS, lists_repositories=True),
    _RESOLVE_MANIFEST,
    Rpc(name="BatchResolveManifests", group="read", missing="MANIFEST_UNKNOWN", right=_RESOLVE_MANIFEST, streams=True),
    _GET_MANIFEST,
    Rpc(name="BatchGetManifests", group="read", missing="MANIFEST_UNKNOWN", right=_GET_MANIFEST, streams=True),
    _GET_IMAGE_CONFIG,
    Rpc(name="BatchGetImageConfigs", group="read", missing="MANIFEST_UNKNOWN", right=_GET_IMAGE_CONFIG, streams=True),
    Rpc(name="ReadBlob", group="pull", missing="BLOB_UNKNOWN", streams=True, outlives_credential=True),
    Rpc(name="ListReferrers", group="read", shows_manifests=True),
    _DELETE_MANIFEST,
    Rpc(name="BatchDeleteManifests", group="delete", missing="MANIFEST_UNKNOWN", right=_DELETE_MANIFEST, streams=True),
    Rpc(name="DeleteTag", group="delete", missing="MANIFEST_UNKNOWN"),
    Rpc(name="DeleteBlob", group="delete", missing="BLOB_UNKNOWN"),
)

RPCS: Final[Mapping[str, Rpc]] = MappingProxyType({rpc.name: rpc for rpc in _ROWS})
METHODS: Final[Mapping[str, Rpc]] = MappingProxyType({f"/{SERVICE}/{rpc.name}": rpc for rpc in _ROWS})
"""By the full name that gRPC calls an RPC by."""

ALL: Final = frozenset(RPCS)
REPOSITORY_RPCS: Final = frozenset(rpc.name for rpc in _ROWS if rpc.in_repository)
GROUPS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "read": frozenset(rpc.name for rpc in _ROWS if rpc.group == "read"),
        "pull": frozenset(rpc.name for rpc in _ROWS if rpc.group == "pull"),
        "delete": frozenset(rpc.name for rpc in _ROWS if rpc.group == "delete"),
        "*": ALL,
    }
)
