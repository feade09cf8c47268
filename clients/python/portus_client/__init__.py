"""A typed client of the portus-gateway, which serves one container registry over gRPC.

`RegistryClient` is for threads, `AsyncRegistryClient` for asyncio; both have the same methods and answer with the
same frozen dataclasses. Every failure of a call is a `RegistryError`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portus_client.aio_client import AsyncRegistryClient
    from portus_client.batch import BatchResult, ManifestRequest
    from portus_client.client import RegistryClient
    from portus_client.deletion import DeletedBlob, DeletedManifest
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
        RegistryError,
        ResourceExhausted,
        Tagged,
        Unauthenticated,
        Unavailable,
        Unimplemented,
    )
    from portus_client.image_name import ImageName, InvalidImageName
    from portus_client.manifest import Image, Index, Manifest
    from portus_client.registry_info import Limits, RegistryInfo
    from portus_client.repository import CatalogPage, Repository

__all__ = [
    "AsyncRegistryClient",
    "BatchResult",
    "Cancelled",
    "CatalogPage",
    "DataLoss",
    "DeadlineExceeded",
    "DeletedBlob",
    "DeletedManifest",
    "Descriptor",
    "FailedPrecondition",
    "FieldViolation",
    "Image",
    "ImageName",
    "Index",
    "Internal",
    "InvalidArgument",
    "InvalidImageName",
    "Limits",
    "Manifest",
    "ManifestRequest",
    "NotFound",
    "PermissionDenied",
    "Platform",
    "PreconditionViolation",
    "RegistryClient",
    "RegistryError",
    "RegistryInfo",
    "Repository",
    "Resource",
    "ResourceExhausted",
    "Tagged",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
]

_MODULES = (
    "aio_client",
    "batch",
    "client",
    "deletion",
    "descriptor",
    "error_details",
    "errors",
    "image_name",
    "manifest",
    "registry_info",
    "repository",
)


def __getattr__(name: str) -> object:
    # gRPC decides how much it logs when it is imported. The command has to set that first, and Python imports this
    # package before the command: so nothing is imported here before somebody asks for it (PEP 562).
    if name in __all__:
        for module in map(import_module, (f"{__name__}.{module}" for module in _MODULES)):
            value: object = vars(module).get(name)
            if value is not None:
                globals()[name] = value
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
