"""Finds the configuration of an image, from a tag or a digest."""

from dataclasses import dataclass

from portus_gateway.distribution.errors import ContentUnclear
from portus_gateway.distribution.image_config import ImageConfig
from portus_gateway.distribution.manifest import IMAGE_CONFIGURATION_TYPES, Descriptor, Image, Index, Manifest, Platform
from portus_gateway.distribution.names import Repository
from portus_gateway.errors import GatewayError
from portus_gateway.operations.platform_selection import listed_platforms, manifest_for
from portus_gateway.registry.protocol import Reference, Registry


class PlatformRequired(GatewayError):
    """The reference points to an index, and the request says no platform."""

    reason = "PLATFORM_REQUIRED"


class NotAnImage(GatewayError):
    """The manifest is an artifact that has no image configuration."""

    reason = "NOT_AN_IMAGE"


@dataclass(frozen=True, slots=True)
class FoundConfig:
    """A configuration, the manifest that names it, and the descriptor in that manifest."""

    manifest: Manifest
    descriptor: Descriptor
    config: ImageConfig


async def image_config_for(
    platform: Platform | None,
    registry: Registry,
    repository: Repository,
    reference: Reference,
    max_staleness: float,
) -> FoundConfig:
    """The configuration of the image that `reference` points to, or of the image for `platform` in an index.

    Raises `PlatformRequired`, `NotAnImage`; `ContentUnclear` if the manifest cannot be read; what `manifest_for` and
    `Registry.get_image_config` raise.
    """
    manifest = await manifest_for(platform, registry, repository, reference, max_staleness)
    descriptor = _named_config(manifest, repository)
    return FoundConfig(manifest, descriptor, await registry.get_image_config(repository, descriptor))


def _named_config(manifest: Manifest, repository: Repository) -> Descriptor:
    where = f"{repository}@{manifest.descriptor.digest}"
    match manifest.content:
        case Image(config=Descriptor(media_type=media_type) as config) if media_type in IMAGE_CONFIGURATION_TYPES:
            return config
        case Image() as image:
            kind = image.artifact_type or (image.config and image.config.media_type) or manifest.descriptor.media_type
            raise NotAnImage(f"{where} is not an image and has no image configuration: it is of the type {kind}")
        case Index() as index:
            raise PlatformRequired(
                f"{where} is an index: say which image in it by a platform; {listed_platforms(index)}"
            )
    if manifest.kind is None and manifest.problem is not None and manifest.problem.reason == "CONTENT_TYPE_UNKNOWN":
        raise NotAnImage(f"{where} is not an image: it is of the type {manifest.descriptor.media_type}")
    problem = manifest.problem
    raise ContentUnclear(
        f"{where}: the configuration is not known, because the content of the manifest cannot be read"
        f"{f': {problem.message}' if problem else ''}",
        reason=problem.reason if problem else None,
    )
