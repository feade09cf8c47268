"""Converts the API's messages to the dataclasses of this client."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from portus.registry.v1 import image_config_pb2, manifest_pb2, referrer_pb2, registry_service_pb2, tag_details_pb2
from portus_client import errors
from portus_client.deletion import DeletedBlob, DeletedManifest, DeletedTag
from portus_client.descriptor import Descriptor, Platform
from portus_client.errors import RegistryError
from portus_client.image_config import ImageConfig, ImageHistory
from portus_client.manifest import Image, Index, Manifest
from portus_client.referrer import Referrer
from portus_client.registry_info import IndexStatus, Limits, RegistryInfo
from portus_client.repository import CatalogPage, Repository
from portus_client.tag import TagDetails, TagPage


def registry_info(message: registry_service_pb2.GetRegistryInfoResponse) -> RegistryInfo:
    return RegistryInfo(
        reachable=message.reachable,
        api_version=message.api_version,
        gateway_version=message.gateway_version,
        limits=Limits(
            default_page_size=message.limits.default_page_size,
            max_page_size=message.limits.max_page_size,
            max_manifest_bytes=message.limits.max_manifest_bytes,
            max_concurrent_calls=message.limits.max_concurrent_calls,
            max_call_duration=message.limits.max_call_duration.ToTimedelta(),
            max_upstream_requests=message.limits.max_upstream_requests,
        ),
        deletion_enabled=message.deletion_enabled,
        problem=errors.from_status(message.registry_status) if message.HasField("registry_status") else None,
        index=_index_status(message.index) if message.HasField("index") else None,
    )


def _index_status(message: registry_service_pb2.IndexStatus) -> IndexStatus:
    state: Literal["building", "ready", "unavailable", "unknown"] = "unknown"
    match message.state:
        case registry_service_pb2.IndexStatus.BUILDING:
            state = "building"
        case registry_service_pb2.IndexStatus.READY:
            state = "ready"
        case registry_service_pb2.IndexStatus.UNAVAILABLE:
            state = "unavailable"
    return IndexStatus(state, message.as_of.ToDatetime(UTC) if message.HasField("as_of") else None)


def repository(message: registry_service_pb2.Repository, *, include_tags: bool) -> Repository:
    if message.HasField("tags_status"):
        return Repository(message.name, tags_error=errors.from_status(message.tags_status))
    return Repository(
        message.name,
        tags=tuple(message.tags) if include_tags else None,
        unusable_tags=tuple(message.unusable_tags),
    )


def repositories(message: registry_service_pb2.StreamCatalogResponse, *, include_tags: bool) -> Iterator[Repository]:
    return (repository(item, include_tags=include_tags) for item in message.repositories)


def catalog_page(message: registry_service_pb2.CatalogResponse, *, include_tags: bool) -> CatalogPage:
    return CatalogPage(
        repositories=tuple(repository(item, include_tags=include_tags) for item in message.repositories),
        next_page_token=message.next_page_token,
        as_of=message.as_of.ToDatetime(UTC) if message.HasField("as_of") else None,
        cursor=message.cursor,
    )


def tag_page(message: registry_service_pb2.ListTagsResponse) -> TagPage:
    return TagPage(
        tags=tuple(message.tags),
        unusable_tags=tuple(message.unusable_tags),
        details=tuple(map(_tag_details, message.details)),
    )


def _tag_details(message: tag_details_pb2.TagDetails) -> TagDetails:
    return TagDetails(
        tag=message.tag,
        descriptor=descriptor(message.descriptor) if message.HasField("descriptor") else None,
        created=_time(message.created) if message.HasField("created") else None,
        total_size=message.total_size if message.HasField("total_size") else None,
        platforms=tuple(map(_platform, message.platforms)),
        error=errors.from_status(message.status) if message.HasField("status") else None,
    )


def descriptor(message: manifest_pb2.Descriptor) -> Descriptor:
    return Descriptor(
        media_type=message.media_type,
        digest=message.digest,
        size=message.size if message.HasField("size") else None,
        platform=_platform(message.platform) if message.HasField("platform") else None,
        artifact_type=message.artifact_type,
        annotations=dict(message.annotations),
        urls=tuple(message.urls),
        data=message.data,
    )


def referrer(message: referrer_pb2.Referrer) -> Referrer:
    source: Literal["referrers API", "fallback tag", "cosign tag", "unknown"] = "unknown"
    match message.source:
        case referrer_pb2.Referrer.REFERRERS_API:
            source = "referrers API"
        case referrer_pb2.Referrer.FALLBACK_TAG:
            source = "fallback tag"
        case referrer_pb2.Referrer.COSIGN_TAG:
            source = "cosign tag"
    return Referrer(
        descriptor=descriptor(message.descriptor),
        source=source,
        tag=message.tag,
        layers=tuple(map(descriptor, message.layers)),
        error=errors.from_status(message.layers_status) if message.HasField("layers_status") else None,
    )


def manifest(message: manifest_pb2.Manifest) -> Manifest:
    content: Image | Index | None
    match message.WhichOneof("content"):
        case "image":
            content = _image(message.image)
        case "index":
            content = _index(message.index)
        case None:
            content = None
    return Manifest(
        descriptor=descriptor(message.descriptor),
        raw=message.raw,
        content=content,
        content_error=errors.from_status(message.content_status) if message.HasField("content_status") else None,
    )


def image_config(message: image_config_pb2.ImageConfig) -> ImageConfig:
    return ImageConfig(
        manifest=descriptor(message.manifest),
        config=descriptor(message.config),
        created=_time(message.created) if message.HasField("created") else None,
        author=message.author,
        platform=_platform(message.platform) if message.HasField("platform") else None,
        labels=dict(message.labels),
        env=tuple(message.env),
        entrypoint=tuple(message.entrypoint),
        cmd=tuple(message.cmd),
        user=message.user,
        working_dir=message.working_dir,
        exposed_ports=tuple(message.exposed_ports),
        volumes=tuple(message.volumes),
        stop_signal=message.stop_signal,
        diff_ids=tuple(message.diff_ids),
        history=tuple(map(_image_history, message.history)),
        raw=message.raw,
        content_error=errors.from_status(message.content_status) if message.HasField("content_status") else None,
    )


def batch_descriptor(message: registry_service_pb2.BatchResolveManifestsResult) -> Descriptor | RegistryError:
    match message.WhichOneof("outcome"):
        case "descriptor":
            return descriptor(message.descriptor)
        case "status":
            return errors.from_status(message.status)
        case None:
            return _unknown_outcome()


def batch_manifest(message: registry_service_pb2.BatchGetManifestsResult) -> Manifest | RegistryError:
    match message.WhichOneof("outcome"):
        case "manifest":
            return manifest(message.manifest)
        case "status":
            return errors.from_status(message.status)
        case None:
            return _unknown_outcome()


def batch_image_config(message: registry_service_pb2.BatchGetImageConfigsResult) -> ImageConfig | RegistryError:
    match message.WhichOneof("outcome"):
        case "image_config":
            return image_config(message.image_config)
        case "status":
            return errors.from_status(message.status)
        case None:
            return _unknown_outcome()


def _unknown_outcome() -> RegistryError:
    return errors.client_error(grpc.StatusCode.UNKNOWN, "this client is too old to read the result: update it")


def deleted_manifest(message: registry_service_pb2.DeleteManifestResponse) -> DeletedManifest:
    return DeletedManifest(
        digest=message.digest,
        deleted_tags=tuple(message.deleted_tags),
        remaining_tags=tuple(message.remaining_tags),
    )


def batch_deleted_manifest(
    message: registry_service_pb2.BatchDeleteManifestsResult,
) -> DeletedManifest | RegistryError:
    match message.WhichOneof("outcome"):
        case "deleted":
            return deleted_manifest(message.deleted)
        case "status":
            return errors.from_status(message.status)
        case None:
            return _unknown_outcome()


def deleted_tag(message: registry_service_pb2.DeleteTagResponse) -> DeletedTag:
    return DeletedTag(digest=message.digest)


def deleted_blob(message: registry_service_pb2.DeleteBlobResponse) -> DeletedBlob:
    return DeletedBlob(digest=message.digest)


def _platform(message: manifest_pb2.Platform) -> Platform:
    return Platform(
        os=message.os,
        architecture=message.architecture,
        variant=message.variant,
        os_version=message.os_version,
        os_features=tuple(message.os_features),
    )


def _image_history(message: image_config_pb2.ImageHistory) -> ImageHistory:
    return ImageHistory(
        created=_time(message.created) if message.HasField("created") else None,
        created_by=message.created_by,
        author=message.author,
        comment=message.comment,
        empty_layer=message.empty_layer,
    )


def _time(message: Timestamp) -> datetime:
    return message.ToDatetime(UTC)


def _image(message: manifest_pb2.Image) -> Image:
    return Image(
        config=descriptor(message.config) if message.HasField("config") else None,
        layers=tuple(map(descriptor, message.layers)),
        subject=descriptor(message.subject) if message.HasField("subject") else None,
        artifact_type=message.artifact_type,
        annotations=dict(message.annotations),
        image_id=message.image_id,
        total_size=message.total_size if message.HasField("total_size") else None,
    )


def _index(message: manifest_pb2.Index) -> Index:
    return Index(
        manifests=tuple(map(descriptor, message.manifests)),
        subject=descriptor(message.subject) if message.HasField("subject") else None,
        artifact_type=message.artifact_type,
        annotations=dict(message.annotations),
    )
