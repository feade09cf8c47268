"""The manifest for a platform, through indexes in indexes and the configurations of images."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from portus_gateway.distribution import Digest, Manifest, Platform, Reference, Repository, Tag
from portus_gateway.distribution.errors import NotFound
from portus_gateway.distribution.manifest import OCI_INDEX, OCI_MANIFEST
from portus_gateway.distribution.manifest_parsing import parse_manifest
from portus_gateway.operations.platform_selection import PlatformUndecided, PlatformUnknown, manifest_for
from tests.rpc.scripted_registry import ScriptedRegistry

APP = Repository("team/app")
V1 = Tag("v1")
CASES = Path(__file__).parents[1] / "cases/manifests"
AMD64, ARM64 = {"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "arm64"}
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
Json = Mapping[str, object]
LINUX_AMD64, LINUX_ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")


class Shelf(ScriptedRegistry):
    """Has manifests and configurations, by digest; the one that was put there last has every tag."""

    def __init__(self) -> None:
        super().__init__()
        self.manifests: dict[Digest, Manifest] = {}
        self.configurations: dict[Digest, bytes] = {}
        self.read: list[tuple[str, float]] = []
        self._tagged: Digest | None = None

    def put(self, document: object, media_type: str) -> Json:
        """Answers with a descriptor of it."""
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        digest = self._tagged = Digest.of(raw)
        self.manifests[digest] = parse_manifest(raw, digest=digest, media_type=media_type)
        return {"mediaType": media_type, "digest": str(digest), "size": len(raw)}

    def image(self, configuration: object, *, config_type: str = CONFIG_TYPE) -> Json:
        raw = configuration if isinstance(configuration, bytes) else json.dumps(configuration).encode()
        digest = Digest.of(raw)
        self.configurations[digest] = raw
        config = {"mediaType": config_type, "digest": str(digest), "size": len(raw)}
        return self.put({"config": config, "layers": []}, OCI_MANIFEST)

    def index(self, *children: Json, media_type: str = OCI_INDEX) -> Json:
        return self.put({"manifests": children}, media_type)

    async def get_manifest(
        self,
        repository: Repository,
        reference: Reference,
        max_staleness: float = 0,
        known: Manifest | None = None,
    ) -> Manifest:
        self.read.append((str(reference), max_staleness))
        digest = reference if isinstance(reference, Digest) else self._tagged
        if digest not in self.manifests:
            raise NotFound(f"no {reference}", reason="MANIFEST_UNKNOWN")
        return self.manifests[digest]

    async def get_blob(self, repository: Repository, digest: Digest) -> bytes:
        self.read.append((str(digest), 0))
        return self.configurations[digest]

    async def chosen(self, platform: Platform | None) -> str:
        """The digest of what is chosen of the manifest that was put there last."""
        return str((await manifest_for(platform, self, APP, V1, 1.5)).descriptor.digest)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.mark.parametrize(
    ("case", "platform", "digit"),
    [
        ("a3-arm-worst-first", Platform("linux", "arm"), "a"),
        ("a3-arm64-no-variant", Platform("linux", "arm64", "v8"), "a"),
        ("a3-v3-first", LINUX_AMD64, "a"),
    ],
)
async def test_the_manifest_that_nodes_run_is_chosen(shelf: Shelf, case: str, platform: Platform, digit: str) -> None:
    shelf.put((CASES / f"{case}.json").read_bytes(), OCI_INDEX)
    due = f"sha256:{digit * 64}"
    with pytest.raises(NotFound, match=due):
        await shelf.chosen(platform)
    assert shelf.read == [("v1", 1.5), (due, 1.5)]


async def test_without_a_platform_the_index_is_the_answer(shelf: Shelf) -> None:
    index = shelf.index({**shelf.image({}), "platform": AMD64})
    assert await shelf.chosen(None) == index["digest"]


async def test_an_image_is_the_answer_for_any_platform(shelf: Shelf) -> None:
    image = shelf.image(AMD64)
    assert await shelf.chosen(LINUX_ARM64) == image["digest"]
    # Also one that nobody can read: what it is, its media type says.
    unreadable = shelf.put(b'{"annotations":{"a":"caf\xe9"}}', OCI_MANIFEST)
    assert await shelf.chosen(LINUX_ARM64) == unreadable["digest"]


async def test_indexes_in_the_index_are_searched(shelf: Shelf) -> None:
    amd64, arm64 = shelf.image(AMD64), shelf.image(ARM64)
    inner = shelf.index({**arm64, "platform": ARM64}, {**amd64, "platform": AMD64})
    shelf.index(inner)
    assert await shelf.chosen(LINUX_AMD64) == amd64["digest"]
    # One that is named for the platform goes before one that is not.
    other = shelf.image({**AMD64, "created": "later"})
    shelf.index(inner, {**other, "platform": AMD64})
    assert await shelf.chosen(LINUX_AMD64) == other["digest"]
    assert await shelf.chosen(LINUX_ARM64) == arm64["digest"]
    # An index may be named for a platform, too.
    shelf.index({**shelf.index({**amd64, "platform": AMD64}), "platform": AMD64})
    assert await shelf.chosen(LINUX_AMD64) == amd64["digest"]


async def test_without_a_platform_in_the_index_the_configuration_counts(shelf: Shelf) -> None:
    amd64 = shelf.image({"os": "linux", "architecture": "x86_64", "config": {"Env": []}})
    arm64 = shelf.image({"os": "linux", "architecture": "arm64", "variant": "v8"})
    shelf.index(amd64, arm64)
    assert await shelf.chosen(LINUX_AMD64) == amd64["digest"]
    assert await shelf.chosen(LINUX_ARM64) == arm64["digest"]
    with pytest.raises(PlatformUnknown, match=r"the index has linux/x86_64, linux/arm64/v8$"):
        await shelf.chosen(Platform("linux", "s390x"))


async def test_the_configuration_of_an_artifact_is_not_read(shelf: Shelf) -> None:
    artifact = shelf.image(AMD64, config_type="application/vnd.cncf.helm.config.v1+json")
    signature = shelf.put({"layers": []}, OCI_MANIFEST)
    blob = {"mediaType": "application/x", "digest": f"sha256:{'9' * 64}", "platform": AMD64}
    shelf.index(artifact, signature, blob)
    with pytest.raises(PlatformUnknown):
        await shelf.chosen(LINUX_AMD64)
    assert [reference for reference, _ in shelf.read] == ["v1", artifact["digest"], signature["digest"]]


async def test_the_error_lists_the_platforms_of_the_index(shelf: Shelf) -> None:
    child = shelf.image({})
    windows = {"os": "windows", "architecture": "amd64", "os.version": "10.0.1", "os.features": ["win32k", "gpu"]}
    shelf.index(
        *({**child, "platform": platform} for platform in ({**ARM64, "variant": "v8"}, windows, {}, ARM64, {})),
        shelf.index({**child, "platform": {"os": "linux"}}),
    )
    offer = "linux/arm64/v8, windows/amd64 10.0.1 with win32k+gpu, an empty platform, linux/arm64, linux"
    with pytest.raises(PlatformUnknown) as unknown:
        await shelf.chosen(Platform("windows", "arm64", "v9", "10.0.3", ("a", "b")))
    assert str(unknown.value) == (f"team/app: no manifest for windows/arm64/v9 10.0.3 with a+b; the index has {offer}")


async def test_the_error_lists_at_most_twenty_platforms(shelf: Shelf) -> None:
    child = shelf.image({})
    platforms = ({"os": "linux", "architecture": f"a{number % 50}"} for number in range(100))
    shelf.index(*({**child, "platform": platform} for platform in platforms))
    with pytest.raises(PlatformUnknown, match=r"linux/a19 and 30 more$"):
        await shelf.chosen(Platform("linux", "none"))


async def test_an_index_without_platforms(shelf: Shelf) -> None:
    shelf.index()
    with pytest.raises(PlatformUnknown, match="the index names no platform at all"):
        await shelf.chosen(LINUX_AMD64)


@pytest.mark.parametrize(
    ("document", "media_type", "problem"),
    [
        (
            (CASES / "a1-architecture-by-case.json").read_bytes(),
            OCI_INDEX,
            "platform.architecture is written in another",
        ),
        ((CASES / "b-image-and-index.json").read_bytes(), "text/plain", "parts of an index and parts of an image"),
        ((CASES / "b-image-and-index.json").read_bytes(), OCI_MANIFEST, "parts of an index and parts of an image"),
        (b"{}", "application/json", "does not know this media type"),
        (b"{", OCI_INDEX, "not JSON"),
    ],
)
async def test_unreadable_content_is_an_error_and_never_the_answer(
    shelf: Shelf, document: bytes, media_type: str, problem: str
) -> None:
    child = shelf.put(document, media_type)
    for _ in range(2):
        with pytest.raises(PlatformUndecided, match=problem) as undecided:
            await shelf.chosen(LINUX_AMD64)
        assert undecided.value.reason == "PLATFORM_UNDECIDED"
        # Within an index it is no better.
        shelf.index(child if media_type == OCI_INDEX else {**child, "mediaType": ""})


async def test_an_index_that_is_listed_as_an_image_is_an_error(shelf: Shelf) -> None:
    inner = shelf.index({**shelf.image(AMD64), "platform": AMD64})
    shelf.index({**inner, "mediaType": OCI_MANIFEST, "platform": AMD64})
    with pytest.raises(PlatformUndecided, match="but it is of another kind"):
        await shelf.chosen(LINUX_AMD64)


@pytest.mark.parametrize("configuration", [b"{", b'{"os":"linux","OS":"windows","architecture":"amd64"}', b"[]"])
async def test_a_configuration_that_cannot_be_read_is_an_error(shelf: Shelf, configuration: bytes) -> None:
    shelf.index(shelf.image(configuration))
    with pytest.raises(PlatformUndecided, match="the configuration sha256:"):
        await shelf.chosen(LINUX_AMD64)


async def test_the_depth_of_the_search_is_limited(shelf: Shelf) -> None:
    image = shelf.image(AMD64)
    child: Json = {**image, "platform": AMD64}
    for _ in range(4):
        child = shelf.index(child)
    assert await shelf.chosen(LINUX_AMD64) == image["digest"]
    shelf.index(child)
    with pytest.raises(PlatformUndecided, match="more than 4 indexes are inside one another"):
        await shelf.chosen(LINUX_AMD64)


async def test_the_number_of_reads_is_limited(shelf: Shelf) -> None:
    images = [shelf.image({**ARM64, "created": str(number)}) for number in range(50)]
    shelf.index(*images, shelf.image(AMD64))
    with pytest.raises(PlatformUndecided, match="more than 32 manifests and configurations"):
        await shelf.chosen(LINUX_AMD64)
    assert len(shelf.read) == 33
