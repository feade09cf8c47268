"""Chooses the manifest for a platform: the one that a machine of this platform runs."""

from collections.abc import Iterable

from portus_gateway.distribution.errors import ContentUnclear, NotFound
from portus_gateway.distribution.image_config_parsing import platform_of_configuration
from portus_gateway.distribution.manifest import (
    GENERIC_MEDIA_TYPES,
    IMAGE_CONFIGURATION_TYPES,
    IMAGE_MEDIA_TYPES,
    INDEX_MEDIA_TYPES,
    Descriptor,
    Image,
    Index,
    Manifest,
    Platform,
)
from portus_gateway.distribution.names import Repository
from portus_gateway.errors import GatewayError
from portus_gateway.operations.platform_matching import PlatformMatcher
from portus_gateway.registry.protocol import Reference, Registry

_MOST_SHOWN = 20
# Maximum number of indexes inside one another. Real images have one.
_DEEPEST = 4
# Maximum number of manifests and configurations that one call reads.
_MOST_READ = 32


class PlatformUnknown(NotFound):
    """The index has no manifest for the requested platform."""

    reason = "PLATFORM_UNKNOWN"


class PlatformUndecided(GatewayError):
    """It cannot be decided which manifest is for the requested platform."""

    reason = "PLATFORM_UNDECIDED"


async def manifest_for(
    platform: Platform | None,
    registry: Registry,
    repository: Repository,
    reference: Reference,
    max_staleness: float,
) -> Manifest:
    """The manifest that `reference` points to. If it is an index and `platform` is given, the manifest in it for that.

    An image is returned as it is, even if it is for another platform. Platforms match as in containerd
    (`platform_matching`). Indexes in the index are searched too. If an index states no platform for an image, the
    platform in the configuration of the image counts.

    Raises `PlatformUnknown`, which lists the platforms of the index; `PlatformUndecided` if an index cannot be read or
    too much would have to be read; and what `registry` raises.
    """
    manifest = await registry.get_manifest(repository, reference, max_staleness)
    if platform is None or manifest.kind == "image":
        return manifest
    search = _Search(platform, registry, repository, max_staleness)
    found = await search.within(search.index_in(manifest), depth=1)
    if found is None:
        raise PlatformUnknown(f"{repository}: no manifest for {_described(platform)}; {search.offer()}")
    return found


async def descriptor_for(
    platform: Platform | None,
    registry: Registry,
    repository: Repository,
    reference: Reference,
    max_staleness: float,
) -> Descriptor:
    """The descriptor of what `manifest_for` returns. Without `platform`, no manifest is fetched."""
    if platform is None:
        return await registry.resolve_manifest(repository, reference, max_staleness)
    return (await manifest_for(platform, registry, repository, reference, max_staleness)).descriptor


class _Search:
    """The search for one platform in one index."""

    def __init__(self, platform: Platform, registry: Registry, repository: Repository, max_staleness: float) -> None:
        self._matcher = PlatformMatcher(platform)
        self._registry = registry
        self._repository = repository
        self._max_staleness = max_staleness
        self._reads = 0
        # In order, each once.
        self._offered: dict[str, None] = {}

    async def within(self, index: Index, depth: int) -> Manifest | None:
        """The manifest for the platform; None if there is none."""
        named = [(child, child.platform) for child in index.manifests if child.platform is not None]
        self._offered.update((_described(platform), None) for _, platform in named)
        for position in self._matcher.best_first(platform for _, platform in named):
            found = await self._below(named[position][0], depth)
            if found is not None:
                return found
        for child in index.manifests:
            if child.platform is None:
                found = await self._below(child, depth)
                if found is not None:
                    return found
        return None

    def index_in(self, manifest: Manifest) -> Index:
        """The content of an index. Raises `PlatformUndecided` if there is none."""
        if isinstance(manifest.content, Index):
            return manifest.content
        problem = manifest.problem.message if manifest.problem else "it is not an index"
        raise self._undecided(f"the content of {manifest.descriptor.digest} cannot be read: {problem}")

    def offer(self) -> str:
        """Lists the platforms that the search met, for an error message."""
        return _listed(self._offered)

    async def _below(self, child: Descriptor, depth: int) -> Manifest | None:
        """`child` itself if it is the image for the platform, or the manifest in it if it is an index; else None."""
        if child.media_type not in IMAGE_MEDIA_TYPES | INDEX_MEDIA_TYPES | GENERIC_MEDIA_TYPES:
            return None
        self._count_read()
        manifest = await self._registry.get_manifest(self._repository, child.digest, self._max_staleness)
        stated = child.media_type
        if (stated in IMAGE_MEDIA_TYPES and manifest.kind == "index") or (
            stated in INDEX_MEDIA_TYPES and manifest.kind == "image"
        ):
            raise self._undecided(f"the index lists {child.digest} as {stated}, but it is of another kind")
        if manifest.kind == "image":
            fits = child.platform is not None or await self._runs(manifest)
            return manifest if fits else None
        if depth == _DEEPEST:
            raise self._undecided(f"more than {_DEEPEST} indexes are inside one another")
        return await self.within(self.index_in(manifest), depth + 1)

    async def _runs(self, manifest: Manifest) -> bool:
        """Whether the platform in the configuration of an image matches."""
        config = manifest.content.config if isinstance(manifest.content, Image) else None
        if config is None or config.media_type not in IMAGE_CONFIGURATION_TYPES:
            return False
        self._count_read()
        raw = config.data or await self._registry.get_blob(self._repository, config.digest)
        try:
            platform = platform_of_configuration(raw)
        except ContentUnclear as error:
            raise self._undecided(f"the configuration {config.digest} cannot be read: {error}") from error
        self._offered[_described(platform)] = None
        return bool(self._matcher.best_first([platform]))

    def _count_read(self) -> None:
        self._reads += 1
        if self._reads > _MOST_READ:
            raise self._undecided(f"more than {_MOST_READ} manifests and configurations would have to be read")

    def _undecided(self, problem: str) -> PlatformUndecided:
        return PlatformUndecided(
            f"{self._repository}: cannot decide which manifest is for the platform: {problem}."
            " Ask without a platform, or for a digest"
        )


def listed_platforms(index: Index) -> str:
    """Lists the platforms that an index states, for an error message."""
    return _listed(dict.fromkeys(_described(child.platform) for child in index.manifests if child.platform is not None))


def _listed(offered: Iterable[str]) -> str:
    platforms = list(offered)
    if not platforms:
        return "the index names no platform at all"
    more = f" and {len(platforms) - _MOST_SHOWN} more" if len(platforms) > _MOST_SHOWN else ""
    return f"the index has {', '.join(platforms[:_MOST_SHOWN])}{more}"


def _described(platform: Platform) -> str:
    version = f" {platform.os_version}" if platform.os_version else ""
    features = f" with {'+'.join(platform.os_features)}" if platform.os_features else ""
    return f"{str(platform) or 'an empty platform'}{version}{features}"
