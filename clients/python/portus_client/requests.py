"""From the arguments of a client's methods to the messages of the API."""

from collections.abc import Iterable
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from portus.registry.v1 import manifest_pb2, registry_service_pb2
from portus_client.descriptor import Platform

# The largest page there is: the fewest calls.
_TAGS_PAGE_SIZE = 1000


def registry_info() -> registry_service_pb2.GetRegistryInfoRequest:
    return registry_service_pb2.GetRegistryInfoRequest()


def catalog(*, include_tags: bool, prefix: str) -> registry_service_pb2.StreamCatalogRequest:
    return registry_service_pb2.StreamCatalogRequest(include_tags=include_tags, prefix=prefix)


def catalog_page(
    *, page_token: str, page_size: int, include_tags: bool, prefix: str
) -> registry_service_pb2.CatalogRequest:
    return registry_service_pb2.CatalogRequest(
        page_token=page_token, page_size=page_size, include_tags=include_tags, prefix=prefix
    )


def tags(repository: str, page_token: str = "") -> registry_service_pb2.ListTagsRequest:
    return registry_service_pb2.ListTagsRequest(repository=repository, page_size=_TAGS_PAGE_SIZE, page_token=page_token)


def resolve(repository: str, reference: str) -> registry_service_pb2.ResolveManifestRequest:
    request = registry_service_pb2.ResolveManifestRequest(repository=repository)
    _set_reference(request, reference)
    return request


def manifest(
    repository: str, reference: str, platform: Platform | None, max_staleness: timedelta | None
) -> registry_service_pb2.GetManifestRequest:
    request = registry_service_pb2.GetManifestRequest(repository=repository)
    _set_reference(request, reference)
    if platform is not None:
        request.platform.CopyFrom(
            manifest_pb2.Platform(
                os=platform.os,
                architecture=platform.architecture,
                variant=platform.variant,
                os_version=platform.os_version,
                os_features=platform.os_features,
            )
        )
    if max_staleness is not None:
        staleness = Duration()
        staleness.FromTimedelta(max_staleness)
        request.max_staleness.CopyFrom(staleness)
    return request


def delete_manifest(
    repository: str, digest: str, *, expected_tags: Iterable[str], force: bool, validate_only: bool
) -> registry_service_pb2.DeleteManifestRequest:
    if isinstance(expected_tags, str):
        # Its letters are texts as well, and so tags that may go.
        raise TypeError("expected_tags is a list of tags, not one text")
    return registry_service_pb2.DeleteManifestRequest(
        repository=repository,
        digest=digest,
        expected_tags=expected_tags,
        force=force,
        validate_only=validate_only,
    )


def delete_blob(repository: str, digest: str, *, validate_only: bool) -> registry_service_pb2.DeleteBlobRequest:
    return registry_service_pb2.DeleteBlobRequest(repository=repository, digest=digest, validate_only=validate_only)


def _set_reference(
    request: registry_service_pb2.ResolveManifestRequest | registry_service_pb2.GetManifestRequest, reference: str
) -> None:
    # No tag has a colon, and every digest has one.
    if ":" in reference:
        request.digest = reference
    else:
        request.tag = reference
