"""Requests that name a manifest."""

from typing import TypeVar

from portus.registry.v1.registry_service_pb2 import GetImageConfigRequest, GetManifestRequest, ResolveManifestRequest

_Request = TypeVar("_Request", GetImageConfigRequest, GetManifestRequest, ResolveManifestRequest)


def with_reference(request: _Request, reference: str) -> _Request:
    """`request`, with `reference` as its digest or as its tag."""
    if ":" in reference:
        request.digest = reference
    else:
        request.tag = reference
    return request
