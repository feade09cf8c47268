"""Builds the API's request messages from the arguments of the client's methods."""

from collections.abc import Iterable
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from portus.registry.v1 import manifest_pb2, registry_service_pb2, tag_history_pb2
from portus_client.descriptor import Platform
from portus_client.tag import TagView

# The gateway's largest page, so that a listing needs the fewest calls.
_TAGS_PAGE_SIZE = 1000
# The gateway reads some documents for each tag. With this number of tags, a call ends long before its deadline.
_DETAILS_PAGE_SIZE = 250
_VIEWS = {
    TagView.NAMES: registry_service_pb2.ListTagsRequest.NAMES,
    TagView.DESCRIPTORS: registry_service_pb2.ListTagsRequest.DESCRIPTORS,
    TagView.FULL: registry_service_pb2.ListTagsRequest.FULL,
}


def registry_info() -> registry_service_pb2.GetRegistryInfoRequest:
    return registry_service_pb2.GetRegistryInfoRequest()


def catalog(
    *, include_tags: bool, prefix: str, max_staleness: timedelta | None = None
) -> registry_service_pb2.StreamCatalogRequest:
    return registry_service_pb2.StreamCatalogRequest(
        include_tags=include_tags, prefix=prefix, max_staleness=_duration(max_staleness)
    )


def catalog_page(
    *, page_token: str, page_size: int, include_tags: bool, prefix: str, max_staleness: timedelta | None = None
) -> registry_service_pb2.CatalogRequest:
    return registry_service_pb2.CatalogRequest(
        page_token=page_token,
        page_size=page_size,
        include_tags=include_tags,
        prefix=prefix,
        max_staleness=_duration(max_staleness),
    )


def tags(
    repository: str,
    *,
    view: TagView,
    digest: str,
    omit_referrer_tags: bool,
    order_by: str,
    max_staleness: timedelta | None,
) -> registry_service_pb2.ListTagsRequest:
    # In the order of dates, the gateway reads the details of all tags for each page.
    in_parts = view is not TagView.NAMES and order_by.split() in ([], ["name"])
    return registry_service_pb2.ListTagsRequest(
        repository=repository,
        page_size=_DETAILS_PAGE_SIZE if in_parts else _TAGS_PAGE_SIZE,
        view=_VIEWS[view],
        digest=digest,
        omit_referrer_tags=omit_referrer_tags,
        order_by=order_by,
        max_staleness=_duration(max_staleness),
    )


def tag_history(repository: str, tag: str) -> tag_history_pb2.ListTagHistoryRequest:
    return tag_history_pb2.ListTagHistoryRequest(repository=repository, tag=tag, page_size=_TAGS_PAGE_SIZE)


def find_tags(digest: str, name_contains: str, prefix: str) -> tag_history_pb2.FindTagsRequest:
    if bool(digest) == bool(name_contains):
        raise ValueError("give either a digest or a part of a name")
    request = tag_history_pb2.FindTagsRequest(prefix=prefix, page_size=_TAGS_PAGE_SIZE)
    if digest:
        request.digest = digest
    else:
        request.name_contains = name_contains
    return request


def _duration(value: timedelta | None) -> Duration | None:
    if value is None:
        return None
    duration = Duration()
    duration.FromTimedelta(value)
    return duration


def resolve(
    repository: str, reference: str, platform: Platform | None, max_staleness: timedelta | None
) -> registry_service_pb2.ResolveManifestRequest:
    request = registry_service_pb2.ResolveManifestRequest(repository=repository)
    _set_read(request, reference, platform, max_staleness)
    return request


def manifest(
    repository: str, reference: str, platform: Platform | None, max_staleness: timedelta | None
) -> registry_service_pb2.GetManifestRequest:
    request = registry_service_pb2.GetManifestRequest(repository=repository)
    _set_read(request, reference, platform, max_staleness)
    return request


def image_config(
    repository: str, reference: str, platform: Platform | None, max_staleness: timedelta | None
) -> registry_service_pb2.GetImageConfigRequest:
    request = registry_service_pb2.GetImageConfigRequest(repository=repository)
    _set_read(request, reference, platform, max_staleness)
    return request


def _set_read(
    request: registry_service_pb2.ResolveManifestRequest
    | registry_service_pb2.GetManifestRequest
    | registry_service_pb2.GetImageConfigRequest,
    reference: str,
    platform: Platform | None,
    max_staleness: timedelta | None,
) -> None:
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


def delete_manifest(
    repository: str, digest: str, *, expected_tags: Iterable[str], force: bool, validate_only: bool
) -> registry_service_pb2.DeleteManifestRequest:
    if isinstance(expected_tags, str):
        # Iterating over a str would make every letter an expected tag.
        raise TypeError("expected_tags must be a list of tags, not a str")
    return registry_service_pb2.DeleteManifestRequest(
        repository=repository,
        digest=digest,
        expected_tags=expected_tags,
        force=force,
        validate_only=validate_only,
    )


def delete_tag(
    repository: str, tag: str, *, expected_digest: str | None, validate_only: bool
) -> registry_service_pb2.DeleteTagRequest:
    return registry_service_pb2.DeleteTagRequest(
        repository=repository, tag=tag, expected_digest=expected_digest or "", validate_only=validate_only
    )


def delete_blob(repository: str, digest: str, *, validate_only: bool) -> registry_service_pb2.DeleteBlobRequest:
    return registry_service_pb2.DeleteBlobRequest(repository=repository, digest=digest, validate_only=validate_only)


def read_blob(repository: str, digest: str, *, offset: int, limit: int | None) -> registry_service_pb2.ReadBlobRequest:
    if limit is not None and limit < 1:
        # The API takes 0 for no limit.
        raise ValueError("the limit must be at least 1; None means the rest of the blob")
    return registry_service_pb2.ReadBlobRequest(repository=repository, digest=digest, offset=offset, limit=limit or 0)


def referrers(repository: str, digest: str, *, artifact_type: str) -> registry_service_pb2.ListReferrersRequest:
    return registry_service_pb2.ListReferrersRequest(repository=repository, digest=digest, artifact_type=artifact_type)


def _set_reference(
    request: registry_service_pb2.ResolveManifestRequest
    | registry_service_pb2.GetManifestRequest
    | registry_service_pb2.GetImageConfigRequest,
    reference: str,
) -> None:
    # Every digest contains a colon; a tag cannot.
    if ":" in reference:
        request.digest = reference
    else:
        request.tag = reference
