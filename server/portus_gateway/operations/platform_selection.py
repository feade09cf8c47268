"""Which manifest a caller gets who names a platform."""

from portus_gateway.distribution.errors import NotFound
from portus_gateway.distribution.manifest import Index, Manifest, Platform
from portus_gateway.distribution.names import Repository
from portus_gateway.registry.protocol import Reference, Registry

_MOST_SHOWN = 20


class PlatformUnknown(NotFound):
    """The index has no manifest for the platform that was asked for."""

    reason = "PLATFORM_UNKNOWN"


async def manifest_for(
    platform: Platform | None,
    registry: Registry,
    repository: Repository,
    reference: Reference,
    max_staleness: float,
) -> Manifest:
    """The manifest that `reference` points to; where it is an index and `platform` is given, its child for that.

    Raises `PlatformUnknown`, which names the platforms that there are, beside what the registry raises.
    """
    manifest = await registry.get_manifest(repository, reference, max_staleness)
    if platform is None or not isinstance(manifest.content, Index):
        return manifest
    child = manifest.content.child(platform)
    if child is None:
        raise PlatformUnknown(f"{repository}: no manifest for {_described(platform)}; {_offer(manifest.content)}")
    return await registry.get_manifest(repository, child.digest, max_staleness)


def _offer(index: Index) -> str:
    described = (_described(child.platform) for child in index.manifests if child.platform is not None)
    platforms = list(dict.fromkeys(described))
    if not platforms:
        return "the index names no platform at all"
    more = f" and {len(platforms) - _MOST_SHOWN} more" if len(platforms) > _MOST_SHOWN else ""
    return f"the index has {', '.join(platforms[:_MOST_SHOWN])}{more}"


def _described(platform: Platform) -> str:
    version = f" {platform.os_version}" if platform.os_version else ""
    features = f" with {'+'.join(platform.os_features)}" if platform.os_features else ""
    return f"{platform}{version}{features}"
