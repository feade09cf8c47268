"""Converts values to messages. What a registry does not state stays unset."""

from collections.abc import Iterable
from dataclasses import replace

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import ResourceInfo

from portus.registry.v1 import image_config_pb2, manifest_pb2, registry_service_pb2
from portus_gateway.distribution.image_config import ImageConfigContent
from portus_gateway.distribution.instant import Instant
from portus_gateway.distribution.manifest import ContentProblem, Descriptor, Image, Index, Manifest, Platform
from portus_gateway.distribution.names import Repository, UnusableName
from portus_gateway.errors import GatewayError
from portus_gateway.operations.catalog_listing import CatalogEntry, TagNames
from portus_gateway.operations.deletion import Deleted
from portus_gateway.operations.image_config import FoundConfig
from portus_gateway.rpc.limits import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, ServerLimits
from portus_gateway.rpc.part_failures import part_status
from portus_gateway.rpc.status import status_of

# A page can have a thousand of these.
_TAGS_STATUS_LIMIT = 1024
# An unusable name can be of any length; a real one has at most 255 characters.
_LONGEST_NAME = 1024
_CONTENT_STATUS_LIMIT = 1024
# gRPC clients accept 4 MiB by default. 64 bytes are left for the message around the manifest.
_LARGEST_ANSWER = 4 * 1024 * 1024 - 64
# Up to the first size, a manifest fits together with its parsed content, which is less than three times as large. Up to
# the second size, it fits without. A client that gets larger manifests has raised its limit.
_FITS_WITH_CONTENT = 1024 * 1024
_FITS_WITHOUT_CONTENT = _LARGEST_ANSWER - 2048


def repository(entry: CatalogEntry) -> registry_service_pb2.Repository:
    name = entry.name.name if isinstance(entry.name, Repository) else _unusable(entry.name)
    match entry.tags:
        case None:
            return registry_service_pb2.Repository(name=name)
        case GatewayError() as error:
            resource = ResourceInfo(resource_type="repository", resource_name=name)
            return registry_service_pb2.Repository(
                name=name, tags_status=part_status(error, resource, limit=_TAGS_STATUS_LIMIT)
            )
        case TagNames(valid, unusable):
            return registry_service_pb2.Repository(
                name=name, tags=valid, unusable_tags=sorted(text(each[:_LONGEST_NAME]) for each in unusable)
            )


def unusable_tags(listed: Iterable[UnusableName]) -> list[str]:
    """Names of tags that are not valid, in lexical order."""
    return sorted(_unusable(name) for name in listed)


def _unusable(name: UnusableName) -> str:
    return text(name.text[:_LONGEST_NAME])


def descriptor(value: Descriptor) -> manifest_pb2.Descriptor:
    message = manifest_pb2.Descriptor()
    _fill_descriptor(message, value)
    return message


def manifest(value: Manifest) -> manifest_pb2.Manifest:
    message = manifest_pb2.Manifest()
    fill_manifest(message, value)
    return message


def fill_manifest(message: manifest_pb2.Manifest, value: Manifest) -> None:
    """Fills an empty message in place, because copying a large message takes as long as filling it."""
    _fill_descriptor(message.descriptor, value.descriptor)
    message.raw = value.raw
    problem = value.problem
    match value.content:
        case Image() as content:
            _fill_image(message.image, content)
        case Index() as content:
            _fill_index(message.index, content)
    if _FITS_WITH_CONTENT < len(value.raw) < _FITS_WITHOUT_CONTENT and message.ByteSize() > _LARGEST_ANSWER:
        message.ClearField("content")
        problem = _too_large("the manifest")
    if problem is not None:
        message.content_status.CopyFrom(status_of(problem.error(), limit=_CONTENT_STATUS_LIMIT))


def fill_image_config(message: image_config_pb2.ImageConfig, found: FoundConfig) -> None:
    """Fills an empty message in place."""
    config, problem = found.config, found.config.problem
    message.raw = config.raw
    _fill_descriptor(message.manifest, found.manifest.descriptor)
    _fill_descriptor(message.config, replace(found.descriptor, data=b""))
    if config.content is not None:
        _fill_image_config_content(message, config.content)
    if len(config.raw) < _FITS_WITHOUT_CONTENT and message.ByteSize() > _LARGEST_ANSWER:
        problem = _too_large("the configuration")
        message.Clear()
        message.raw = config.raw
        _fill_descriptor(message.manifest, found.manifest.descriptor)
        # Its annotations may be the reason.
        _fill_descriptor(message.config, replace(found.descriptor, data=b"", annotations={}, urls=()))
    if problem is not None:
        message.content_status.CopyFrom(status_of(problem.error(), limit=_CONTENT_STATUS_LIMIT))


def _fill_image_config_content(message: image_config_pb2.ImageConfig, value: ImageConfigContent) -> None:
    if value.created is not None:
        fill_timestamp(message.created, value.created)
    message.author = value.author
    fill_platform(message.platform, value.platform)
    message.labels.update(value.labels)
    message.env.extend(value.env)
    message.entrypoint.extend(value.entrypoint)
    message.cmd.extend(value.cmd)
    message.user = value.user
    message.working_dir = value.working_dir
    message.exposed_ports.extend(value.exposed_ports)
    message.volumes.extend(value.volumes)
    message.stop_signal = value.stop_signal
    message.diff_ids.extend(digest.text for digest in value.diff_ids)
    for entry in value.history:
        step = message.history.add()
        if entry.created is not None:
            fill_timestamp(step.created, entry.created)
        step.created_by = entry.created_by
        step.author = entry.author
        step.comment = entry.comment
        step.empty_layer = entry.empty_layer


def fill_timestamp(message: Timestamp, value: Instant) -> None:
    message.SetInParent()
    message.seconds = value.seconds
    message.nanos = value.nanoseconds


def _too_large(document: str) -> ContentProblem:
    return ContentProblem(
        "CONTENT_TOO_LARGE",
        f"{document} with its parsed content would be larger than the 4 MiB that gRPC clients accept by default",
    )


def _fill_image(message: manifest_pb2.Image, value: Image) -> None:
    message.SetInParent()
    if value.config is not None:
        _fill_descriptor(message.config, value.config)
    for layer in value.layers:
        _fill_descriptor(message.layers.add(), layer)
    if value.subject is not None:
        _fill_descriptor(message.subject, value.subject)
    message.artifact_type = value.artifact_type
    message.annotations.update(value.annotations)
    if value.image_id is not None:
        message.image_id = value.image_id.text
    total_size = value.total_size
    # Each size fits into 64 bits, but the sum may not.
    if total_size is not None and total_size < 2**63:
        message.total_size = total_size


def _fill_index(message: manifest_pb2.Index, value: Index) -> None:
    message.SetInParent()
    for child in value.manifests:
        _fill_descriptor(message.manifests.add(), child)
    if value.subject is not None:
        _fill_descriptor(message.subject, value.subject)
    message.artifact_type = value.artifact_type
    message.annotations.update(value.annotations)


def _fill_descriptor(message: manifest_pb2.Descriptor, value: Descriptor) -> None:
    message.media_type = text(value.media_type)
    message.digest = value.digest.text
    if value.size is not None:
        message.size = value.size
    if value.platform is not None:
        fill_platform(message.platform, value.platform)
    if value.artifact_type:
        message.artifact_type = value.artifact_type
    if value.annotations:
        message.annotations.update(value.annotations)
    if value.urls:
        message.urls.extend(value.urls)
    if value.data:
        message.data = value.data


def fill_platform(message: manifest_pb2.Platform, value: Platform) -> None:
    message.SetInParent()
    message.os = value.os
    message.architecture = value.architecture
    message.variant = value.variant
    message.os_version = value.os_version
    message.os_features.extend(value.os_features)


def deleted_manifest(value: Deleted) -> registry_service_pb2.DeleteManifestResponse:
    return registry_service_pb2.DeleteManifestResponse(
        digest=value.digest.text,
        deleted_tags=[tag.name for tag in value.tags],
        remaining_tags=[tag.name for tag in value.remaining_tags],
    )


def timestamp(seconds: float) -> Timestamp:
    """Seconds since 1970 as a message, to the microsecond."""
    message = Timestamp()
    message.FromMicroseconds(round(seconds * 1_000_000))
    return message


def limits(value: ServerLimits) -> registry_service_pb2.Limits:
    duration = Duration()
    duration.FromMilliseconds(round(value.max_call_duration * 1000))
    return registry_service_pb2.Limits(
        default_page_size=DEFAULT_PAGE_SIZE,
        max_page_size=MAX_PAGE_SIZE,
        max_manifest_bytes=value.max_manifest_bytes,
        max_concurrent_calls=value.max_concurrent_calls,
        max_call_duration=duration,
        max_upstream_requests=value.max_upstream_requests,
    )


def text(value: str) -> str:
    """`value`, with a question mark for each character that UTF-8 cannot encode: half of a surrogate pair."""
    return value if value.isascii() else value.encode(errors="replace").decode()
