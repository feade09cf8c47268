"""The details of a tag: what it points to, when its image was built, its size and its platforms.

The manifest that a tag points to is asked for each time. What is below it has a digest and cannot change, so it may
come from the cache: a listing that was read before costs one conditional request for each tag.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from portus_gateway.access.errors import AccessError, Hidden
from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.aio.in_parallel import for_each
from portus_gateway.distribution.errors import ContentUnclear, Unsupported, UntrustedAnswer
from portus_gateway.distribution.instant import Instant
from portus_gateway.distribution.manifest import (
    GENERIC_MEDIA_TYPES,
    IMAGE_CONFIGURATION_TYPES,
    IMAGE_MEDIA_TYPES,
    INDEX_MEDIA_TYPES,
    ContentProblem,
    Descriptor,
    Image,
    Index,
    Manifest,
    Platform,
    total_size_of,
)
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.errors import GatewayError, forget_frames
from portus_gateway.registry.protocol import Registry

# Maximum number of manifests that are read for one tag. Images for many platforms have about 20.
_MOST_READ: Final = 64
# Maximum number of indexes inside one another. Real images have one.
_DEEPEST: Final = 4
# Maximum number of manifests of one index that are read at the same time.
_AT_ONCE: Final = 4
# Maximum number of characters of all platforms of one tag.
_LONGEST_PLATFORMS: Final = 16 * 1024

_CREATED: Final = "org.opencontainers.image.created"
# BuildKit marks the attestations that it adds to an index with both.
_REFERENCE_TYPE: Final = "vnd.docker.reference.type"
_ATTESTATION: Final = "attestation-manifest"
_UNKNOWN: Final = "unknown"
# The zero value of Go's `time.Time`: Go programs write it if they have no time.
_GO_ZERO_TIME: Final = Instant.parse("0001-01-01T00:00:00Z")


class View(Enum):
    """How much a listing says of each tag."""

    NAMES = auto()
    DESCRIPTORS = auto()
    FULL = auto()


@dataclass(frozen=True, slots=True)
class TagDetails:
    """What is known of a tag. What is not stated, or could not be found out, is None or empty.

    `error` is why something could not be found out; None if everything could. `str` is the name of the tag.
    """

    tag: Tag
    descriptor: Descriptor | None = None
    created: Instant | None = None
    total_size: int | None = None
    platforms: tuple[Platform, ...] = ()
    error: GatewayError | None = None

    def __str__(self) -> str:
        return self.tag.name


async def details_of(
    registry: Registry, repository: Repository, tag: Tag, view: View, target: Descriptor | None = None
) -> TagDetails:
    """Reads the details of a tag. `target` is what the tag points to, if that was asked in this call already.

    A failure is in `TagDetails.error`, except for those that concern the whole call: `DeadlineExceeded`, `AccessError`
    and `Hidden` are raised.
    """
    if view is View.NAMES:
        return TagDetails(tag)
    try:
        if view is View.DESCRIPTORS:
            return TagDetails(tag, target or await registry.resolve_manifest(repository, tag))
        return await _full_details(registry, repository, tag, target)
    except (DeadlineExceeded, AccessError, Hidden):
        raise
    except GatewayError as error:
        # The frames have the answer, which can be large.
        return TagDetails(tag, target, error=forget_frames(error))


async def _full_details(registry: Registry, repository: Repository, tag: Tag, target: Descriptor | None) -> TagDetails:
    try:
        if target is None:
            manifest = await registry.get_manifest(repository, tag)
        else:
            manifest = await registry.get_manifest(repository, target.digest, math.inf)
    except (Unsupported, UntrustedAnswer) as error:
        # The manifest has Docker's schema 1, is too large or is damaged. What the tag points to can still be known.
        return await _only_descriptor(registry, repository, tag, target, forget_frames(error))
    return await _Reading(registry, repository).details(tag, manifest)


async def _only_descriptor(
    registry: Registry, repository: Repository, tag: Tag, target: Descriptor | None, error: GatewayError
) -> TagDetails:
    try:
        return TagDetails(tag, target or await registry.resolve_manifest(repository, tag), error=error)
    except (DeadlineExceeded, AccessError, Hidden):
        raise
    except GatewayError:
        return TagDetails(tag, error=error)


@dataclass(frozen=True, slots=True)
class _Content:
    """What is known of a manifest and everything below it."""

    images: tuple[Image, ...] = ()
    created: Instant | None = None
    platforms: tuple[Platform, ...] = ()
    sizes_error: GatewayError | None = None
    """Why not all `images` are known."""
    config_error: GatewayError | None = None
    """Why a configuration cannot be read."""


class _Reading:
    """Reads what one tag points to."""

    def __init__(self, registry: Registry, repository: Repository) -> None:
        self._registry = registry
        self._repository = repository
        self._reads = 0

    async def details(self, tag: Tag, manifest: Manifest) -> TagDetails:
        content = await self._content(manifest, None, depth=0)
        unread = content.sizes_error or content.config_error
        details = TagDetails(
            tag,
            manifest.descriptor,
            created=None if unread else content.created or _annotated_date(manifest),
            total_size=None if content.sizes_error else total_size_of(content.images),
            platforms=tuple(dict.fromkeys(content.platforms)),
            error=unread,
        )
        if sum(map(_length, details.platforms)) <= _LONGEST_PLATFORMS:
            return details
        return replace(details, platforms=(), error=unread or _too_large("the names of its platforms are too long"))

    async def _content(self, manifest: Manifest, stated: Platform | None, depth: int) -> _Content:
        """`stated` is the platform that an index states for the manifest."""
        stated = stated if stated is not None and str(stated) else None
        match manifest.content:
            case Image() as image:
                return await self._of_image(image, stated)
            case Index() as index:
                return await self._of_index(index, depth + 1)
        return _Content(platforms=(stated,) if stated else (), sizes_error=_unclear(manifest.problem, "the manifest"))

    async def _of_image(self, image: Image, stated: Platform | None) -> _Content:
        known = _Content(images=(image,), platforms=(stated,) if stated else ())
        if image.config is None or image.config.media_type not in IMAGE_CONFIGURATION_TYPES:
            return known
        try:
            config = await self._registry.get_image_config(self._repository, image.config)
        except (DeadlineExceeded, AccessError, Hidden):
            raise
        except GatewayError as error:
            return replace(known, config_error=forget_frames(error))
        if config.content is None:
            return replace(known, config_error=_unclear(config.problem, "the configuration"))
        platform = stated or config.content.platform
        created = config.content.created
        return _Content(
            images=(image,),
            created=None if created == _GO_ZERO_TIME else created,
            platforms=(platform,) if str(platform) and not _is_unknown(platform) else (),
        )

    async def _of_index(self, index: Index, depth: int) -> _Content:
        children = [child for child in index.manifests if _is_manifest(child) and not _is_attestation(child)]
        stated = tuple(child.platform for child in children if child.platform is not None)
        self._reads += len(children)
        if self._reads > _MOST_READ:
            return _Content(
                platforms=stated,
                sizes_error=_too_large(f"more than {_MOST_READ} manifests would have to be read for one tag"),
            )
        if depth > _DEEPEST:
            return _Content(
                platforms=stated, sizes_error=_too_large(f"more than {_DEEPEST} indexes are inside one another")
            )
        found: dict[int, _Content] = {}

        async def read(position: int) -> None:
            found[position] = await self._child(children[position], depth)

        await for_each(range(len(children)), read, at_once=_AT_ONCE)
        return _together([found[position] for position in range(len(children))])

    async def _child(self, child: Descriptor, depth: int) -> _Content:
        try:
            manifest = await self._registry.get_manifest(self._repository, child.digest, math.inf)
        except (DeadlineExceeded, AccessError, Hidden):
            raise
        except GatewayError as error:
            return _Content(platforms=(child.platform,) if child.platform else (), sizes_error=forget_frames(error))
        return await self._content(manifest, child.platform, depth)


def _together(contents: Sequence[_Content]) -> _Content:
    dates = [content.created for content in contents if content.created is not None]
    return _Content(
        images=tuple(image for content in contents for image in content.images),
        created=max(dates, default=None),
        platforms=tuple(platform for content in contents for platform in content.platforms),
        sizes_error=next((content.sizes_error for content in contents if content.sizes_error), None),
        config_error=next((content.config_error for content in contents if content.config_error), None),
    )


def _is_manifest(child: Descriptor) -> bool:
    # Runtimes pass over everything else.
    return child.media_type in IMAGE_MEDIA_TYPES | INDEX_MEDIA_TYPES | GENERIC_MEDIA_TYPES


def _is_attestation(child: Descriptor) -> bool:
    if child.annotations.get(_REFERENCE_TYPE) == _ATTESTATION:
        return True
    return child.platform is not None and _is_unknown(child.platform)


def _is_unknown(platform: Platform) -> bool:
    return (platform.os, platform.architecture) == (_UNKNOWN, _UNKNOWN)


def _annotated_date(manifest: Manifest) -> Instant | None:
    """The date in the annotation of a manifest, where tools for artifacts write it."""
    text = manifest.content.annotations.get(_CREATED, "") if manifest.content is not None else ""
    try:
        return Instant.parse(text)
    except ValueError:
        return None


def _length(platform: Platform) -> int:
    return sum(
        map(len, (platform.os, platform.architecture, platform.variant, platform.os_version, *platform.os_features))
    )


def _unclear(problem: ContentProblem | None, document: str) -> ContentUnclear:
    return problem.error() if problem else ContentUnclear(f"the content of {document} is not known")


def _too_large(problem: str) -> ContentUnclear:
    return ContentUnclear(problem, reason="CONTENT_TOO_LARGE")
