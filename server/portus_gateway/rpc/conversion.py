"""From values to proto. What a registry does not say stays unset."""

from collections.abc import Mapping

from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ResourceInfo

from portus.registry.v1 import manifest_pb2, registry_service_pb2
from portus_gateway.distribution.manifest import Descriptor, Image, Index, Manifest, Platform
from portus_gateway.distribution.names import Repository
from portus_gateway.errors import GatewayError
from portus_gateway.operations.catalog_listing import CatalogEntry
from portus_gateway.rpc.limits import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, ServerLimits
from portus_gateway.rpc.status import status_of

# A page can have a thousand of these.
_TAGS_STATUS_LIMIT = 1024
# An unusable name can be of any length; a real one has at most 255 characters.
_LONGEST_NAME = 1024


def repository(entry: CatalogEntry) -> registry_service_pb2.Repository:
    name = entry.name.name if isinstance(entry.name, Repository) else text(entry.name.text[:_LONGEST_NAME])
    match entry.tags:
        case None:
            return registry_service_pb2.Repository(name=name)
        case GatewayError() as error:
            resource = ResourceInfo(resource_type="repository", resource_name=name)
            return registry_service_pb2.Repository(
                name=name, tags_status=status_of(error, resource, limit=_TAGS_STATUS_LIMIT)
            )
        case tags:
            return registry_service_pb2.Repository(name=name, tags=[tag.name for tag in tags])


def descriptor(value: Descriptor) -> manifest_pb2.Descriptor:
    return manifest_pb2.Descriptor(
        media_type=text(value.media_type),
        digest=value.digest.text,
        size=value.size,
        platform=None if value.platform is None else platform(value.platform),
        artifact_type=text(value.artifact_type),
        annotations=_texts(value.annotations),
    )


def platform(value: Platform) -> manifest_pb2.Platform:
    return manifest_pb2.Platform(
        os=text(value.os),
        architecture=text(value.architecture),
        variant=text(value.variant),
        os_version=text(value.os_version),
        os_features=[text(feature) for feature in value.os_features],
    )


def manifest(value: Manifest) -> manifest_pb2.Manifest:
    match value.content:
        case Image() as content:
            return manifest_pb2.Manifest(descriptor=descriptor(value.descriptor), raw=value.raw, image=image(content))
        case Index() as content:
            return manifest_pb2.Manifest(descriptor=descriptor(value.descriptor), raw=value.raw, index=index(content))
        case None:
            return manifest_pb2.Manifest(descriptor=descriptor(value.descriptor), raw=value.raw)


def image(value: Image) -> manifest_pb2.Image:
    return manifest_pb2.Image(
        config=None if value.config is None else descriptor(value.config),
        layers=[descriptor(layer) for layer in value.layers],
        subject=None if value.subject is None else descriptor(value.subject),
        artifact_type=text(value.artifact_type),
        annotations=_texts(value.annotations),
        image_id="" if value.image_id is None else value.image_id.text,
        total_size=_size(value.total_size),
    )


def index(value: Index) -> manifest_pb2.Index:
    return manifest_pb2.Index(
        manifests=[descriptor(child) for child in value.manifests],
        subject=None if value.subject is None else descriptor(value.subject),
        artifact_type=text(value.artifact_type),
        annotations=_texts(value.annotations),
    )


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


def _size(size: int | None) -> int | None:
    # Each part of a sum fits an int64; the sum of a manifest that lies need not.
    return size if size is not None and size < 2**63 else None


def text(value: str) -> str:
    """`value`, with a question mark for what JSON can write and UTF-8 cannot: half of a surrogate pair."""
    return value if value.isascii() else value.encode(errors="replace").decode()


def _texts(values: Mapping[str, str]) -> dict[str, str]:
    return {text(key): text(value) for key, value in values.items()}
