import pytest

from portus_gateway.distribution import Descriptor, Digest, Image, Index, Manifest, Platform, Reference, Repository, Tag
from portus_gateway.distribution.manifest import OCI_INDEX
from portus_gateway.operations.platform_selection import PlatformUnknown, manifest_for
from tests.rpc.scripted_registry import ScriptedRegistry

APP = Repository("team/app")
V1 = Tag("v1")

CHILDREN = (
    Platform("linux", "arm", "v6"),
    Platform("linux", "arm", "v7"),
    Platform("windows", "amd64", os_version="10.0.1"),
    Platform("windows", "amd64", os_version="10.0.2", os_features=("win32k", "other")),
    None,
)


def digest_of(position: int) -> Digest:
    return Digest(f"sha256:{position:064}")


class Indexed(ScriptedRegistry):
    """Has an index under every tag, and its children under their digests."""

    def __init__(self, platforms: tuple[Platform | None, ...]) -> None:
        super().__init__()
        self.read: list[tuple[str, float]] = []
        children = tuple(
            Descriptor("", digest_of(position), platform=platform) for position, platform in enumerate(platforms)
        )
        self.index = Manifest(Descriptor(OCI_INDEX, digest_of(99)), b"", Index(children))

    async def get_manifest(
        self,
        repository: Repository,
        reference: Reference,
        max_staleness: float = 0,
        known: Manifest | None = None,
    ) -> Manifest:
        self.read.append((str(reference), max_staleness))
        if isinstance(reference, Tag):
            return self.index
        return Manifest(Descriptor("", reference), b"", Image(None, ()))


async def chosen(platform: Platform | None, platforms: tuple[Platform | None, ...] = CHILDREN) -> Digest:
    registry = Indexed(platforms)
    manifest = await manifest_for(platform, registry, APP, V1, 1.5)
    due = ["v1"] if platform is None else ["v1", str(manifest.descriptor.digest)]
    assert registry.read == [(reference, 1.5) for reference in due]
    return manifest.descriptor.digest


@pytest.mark.parametrize(
    ("platform", "position"),
    [
        # What is not given matches anything; the first match counts.
        (Platform("linux", "arm"), 0),
        (Platform("linux", "arm", "v7"), 1),
        (Platform("windows", "amd64"), 2),
        (Platform("windows", "amd64", os_version="10.0.2"), 3),
        (Platform("windows", "amd64", os_features=("win32k",)), 3),
    ],
)
async def test_the_first_child_that_fits(platform: Platform, position: int) -> None:
    assert await chosen(platform) == digest_of(position)


async def test_the_index_itself_without_a_platform() -> None:
    assert await chosen(None) == digest_of(99)


@pytest.mark.parametrize(
    ("platform", "named"),
    [
        (Platform("linux", "amd64"), "linux/amd64"),
        (Platform("linux", "arm", "v8"), "linux/arm/v8"),
        (Platform("windows", "amd64", os_version="11"), "windows/amd64 11"),
        (Platform("windows", "amd64", os_features=("gpu", "win32k")), r"windows/amd64 with gpu\+win32k"),
    ],
)
async def test_none_that_fits_names_those_that_there_are(platform: Platform, named: str) -> None:
    offer = r"linux/arm/v6, linux/arm/v7, windows/amd64 10\.0\.1, windows/amd64 10\.0\.2 with win32k\+other"
    with pytest.raises(PlatformUnknown, match=rf"^team/app: no manifest for {named}; the index has {offer}$"):
        await chosen(platform)


async def test_of_many_platforms_the_first_twenty_are_named_once_each() -> None:
    platforms = tuple(Platform("linux", f"a{number % 50}") for number in range(100))
    with pytest.raises(PlatformUnknown, match=r"linux/a19 and 30 more$"):
        await chosen(Platform("linux", "none"), platforms)


async def test_an_index_without_platforms() -> None:
    with pytest.raises(PlatformUnknown, match="the index names no platform at all"):
        await chosen(Platform("linux", "amd64"), (None, None))
