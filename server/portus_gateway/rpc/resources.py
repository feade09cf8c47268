"""What a request is about, for errors and logs: read from the request as it came, valid or not."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol, runtime_checkable

from google.rpc.error_details_pb2 import ResourceInfo

from portus_gateway.access.rpcs import Rpc
from portus_gateway.errors import GatewayError

_LONGEST_REPOSITORY = 255
_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {"NAME_UNKNOWN": "repository", "MANIFEST_UNKNOWN": "manifest", "BLOB_UNKNOWN": "blob"}
)


@runtime_checkable
class _InRepository(Protocol):
    repository: str


@runtime_checkable
class _Trial(Protocol):
    validate_only: bool


@runtime_checkable
class _ByDigest(Protocol):
    digest: str


@runtime_checkable
class _ByTag(Protocol):
    tag: str


def repository_of(request: object) -> str:
    """The repository that `request` names, at most 255 characters of it; empty if it names none."""
    return request.repository[:_LONGEST_REPOSITORY] if isinstance(request, _InRepository) else ""


def is_trial(request: object) -> bool:
    """Whether `request` is for a delete that is only checked (`validate_only`)."""
    return isinstance(request, _Trial) and request.validate_only


def resource_of(rpc: Rpc | None, request: object, error: GatewayError) -> ResourceInfo | None:
    """What an error is about: the repository, or the manifest or blob in it. None if the request names none."""
    repository = repository_of(request)
    if rpc is None or not repository or not error.concerns_resource:
        return None
    kind = _TYPES[rpc.missing]
    if error.reason == "NAME_UNKNOWN" or kind == "repository":
        return ResourceInfo(resource_type="repository", resource_name=repository)
    if isinstance(request, _ByDigest) and request.digest:
        return ResourceInfo(resource_type=kind, resource_name=f"{repository}@{request.digest}")
    tag = request.tag if isinstance(request, _ByTag) else ""
    return ResourceInfo(resource_type=kind, resource_name=f"{repository}:{tag}")
