"""A typed client for portus-gateway, which gives access to one container registry over gRPC.

`RegistryClient` is for threads, `AsyncRegistryClient` is for asyncio. Both have the same methods and return the same
frozen dataclasses. A call that fails raises `RegistryError`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portus_client.aio_blob_reader import AsyncBlobReader
    from portus_client.aio_client import AsyncRegistryClient
    from portus_client.batch import BatchResult, ManifestRequest
    from portus_client.blob_reader import BlobReader
    from portus_client.client import RegistryClient
    from portus_client.deletion import DeletedBlob, DeletedManifest, DeletedTag, DeletionResult, ManifestDeletion
    from portus_client.descriptor import Descriptor, Platform
    from portus_client.error_details import FieldViolation, PreconditionViolation, Resource
    from portus_client.errors import (
        Cancelled,
        DataLoss,
        DeadlineExceeded,
        FailedPrecondition,
        Internal,
        InvalidArgument,
        NotFound,
        PermissionDenied,
        Referenced,
        RegistryError,
        ResourceExhausted,
        Tagged,
        Unauthenticated,
        Unavailable,
        Unimplemented,
    )
    from portus_client.image_config import ImageConfig, ImageHistory
    from portus_client.image_name import ImageName, InvalidImageName
    from portus_client.manifest import Image, Index, Manifest
    from portus_client.referrer import Referrer
    from portus_client.registry_info import IndexStatus, Limits, RegistryInfo
    from portus_client.repository import CatalogPage, Repository
    from portus_client.tag import TagDetails, TagPage, TagView
    from portus_client.tag_search import FoundTag
    from portus_client.watch import Event, WatchUpdate

__all__ = [
    "AsyncBlobReader",
    "AsyncRegistryClient",
    "BatchResult",
    "BlobReader",
    "Cancelled",
    "CatalogPage",
    "DataLoss",
    "DeadlineExceeded",
    "DeletedBlob",
    "DeletedManifest",
    "DeletedTag",
    "DeletionResult",
    "Descriptor",
    "Event",
    "FailedPrecondition",
    "FieldViolation",
    "FoundTag",
    "Image",
    "ImageConfig",
    "ImageHistory",
    "ImageName",
    "Index",
    "IndexStatus",
    "Internal",
    "InvalidArgument",
    "InvalidImageName",
    "Limits",
    "Manifest",
    "ManifestDeletion",
    "ManifestRequest",
    "NotFound",
    "PermissionDenied",
    "Platform",
    "PreconditionViolation",
    "Referenced",
    "Referrer",
    "RegistryClient",
    "RegistryError",
    "RegistryInfo",
    "Repository",
    "Resource",
    "ResourceExhausted",
    "TagDetails",
    "TagPage",
    "TagView",
    "Tagged",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "WatchUpdate",
]

_MODULES = (
    "aio_blob_reader",
    "aio_client",
    "batch",
    "blob_reader",
    "client",
    "deletion",
    "descriptor",
    "error_details",
    "errors",
    "image_config",
    "image_name",
    "manifest",
    "referrer",
    "registry_info",
    "repository",
    "tag",
    "tag_search",
    "watch",
)


def __getattr__(name: str) -> object:
    # Modules are imported on first use (PEP 562). gRPC reads its log level when it is imported. The command sets that
    # level, but Python imports this package before it imports the command.
    if name in __all__:
        for module in map(import_module, (f"{__name__}.{module}" for module in _MODULES)):
            value: object = vars(module).get(name)
            if value is not None:
                globals()[name] = value
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
