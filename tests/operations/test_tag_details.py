"""Which failures are those of one tag, and which end a listing. `rpc/test_tag_details.py` has what is read."""

import json
from collections.abc import Mapping

import pytest

from portus_gateway.access.errors import Hidden, PermissionDenied
from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import UntrustedAnswer, UpstreamTimeout
from portus_gateway.distribution.image_config import ImageConfig
from portus_gateway.distribution.image_config_parsing import parse_image_config
from portus_gateway.distribution.manifest import OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest, Platform
from portus_gateway.distribution.manifest_parsing import parse_manifest
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.errors import GatewayError
from portus_gateway.operations.tag_details import View, details_of
from portus_gateway.registry.protocol import Reference
from tests.rpc.scripted_registry import ScriptedRegistry

APP, V1 = Repository("team/app"), Tag("1.0")
CONFIG = b'{"os": "linux", "architecture": "amd64", "created": "2026-01-01T00:00:00Z"}'
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"


def stored(document: Mapping[str, object], media_type: str) -> Manifest:
    raw = json.dumps(document).encode()
    return parse_manifest(raw, digest=Digest.of(raw), media_type=media_type)


def index_of(*children: Mapping[str, object]) -> Manifest:
    return stored({"manifests": children}, OCI_INDEX)


IMAGE = stored(
    {"config": {"mediaType": CONFIG_TYPE, "digest": str(Digest.of(CONFIG)), "size": len(CONFIG)}, "layers": []},
    OCI_MANIFEST,
)
CHILD = {"mediaType": OCI_MANIFEST, "digest": str(IMAGE.descriptor.digest), "size": len(IMAGE.raw)}


class Shelf(ScriptedRegistry):
    """The tag points to `target`. `failures` are by what is asked: `resolve`, `tag`, `child` and `config`."""

    def __init__(
        self, target: Manifest, failures: Mapping[str, GatewayError] | None = None, *, config: bytes = CONFIG
    ) -> None:
        super().__init__()
        self.target = target
        self.failures = failures or {}
        self.manifests = {IMAGE.descriptor.digest: IMAGE}
        self.config = config

    def _fail(self, step: str) -> None:
        if step in self.failures:
            raise self.failures[step]

    async def resolve_manifest(
        self, repository: Repository, reference: Reference, max_staleness: float = 0
    ) -> Descriptor:
        self._fail("resolve")
        return self.target.descriptor

    async def get_manifest(
        self,
        repository: Repository,
        reference: Reference,
        max_staleness: float = 0,
        known: Manifest | None = None,
    ) -> Manifest:
        if isinstance(reference, Tag):
            self._fail("tag")
            return self.target
        self._fail("child")
        return self.manifests[reference]

    async def get_image_config(self, repository: Repository, config: Descriptor) -> ImageConfig:
        self._fail("config")
        return parse_image_config(self.config)


STEPS = [
    ("resolve", View.DESCRIPTORS, IMAGE),
    ("tag", View.FULL, IMAGE),
    ("config", View.FULL, IMAGE),
    ("child", View.FULL, index_of(CHILD)),
    ("config", View.FULL, index_of(CHILD)),
]


@pytest.mark.parametrize(
    "error",
    [DeadlineExceeded("late"), PermissionDenied("no"), Hidden("no", reason="MANIFEST_UNKNOWN")],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize(("step", "view", "target"), STEPS)
async def test_what_concerns_the_whole_call_is_raised(
    step: str, view: View, target: Manifest, error: GatewayError
) -> None:
    with pytest.raises(type(error)) as caught:
        await details_of(Shelf(target, {step: error}), APP, V1, view)
    assert caught.value is error


@pytest.mark.parametrize(
    "error",
    [DeadlineExceeded("late"), PermissionDenied("no"), Hidden("no", reason="MANIFEST_UNKNOWN")],
    ids=lambda error: type(error).__name__,
)
async def test_that_is_so_too_where_only_the_descriptor_can_be_known(error: GatewayError) -> None:
    shelf = Shelf(IMAGE, {"tag": UntrustedAnswer("damaged"), "resolve": error})
    with pytest.raises(type(error)):
        await details_of(shelf, APP, V1, View.FULL)


@pytest.mark.parametrize(("step", "view", "target"), STEPS)
async def test_every_other_failure_is_that_of_the_tag_and_keeps_no_frame_in_memory(
    step: str, view: View, target: Manifest
) -> None:
    error = UpstreamTimeout("slow")
    details = await details_of(Shelf(target, {step: error}), APP, V1, view)
    assert details.error is error
    assert error.__traceback__ is None
    assert (details.descriptor is not None) is (step in ("config", "child"))


async def test_of_a_damaged_manifest_the_first_error_counts() -> None:
    damaged = UntrustedAnswer("damaged")
    details = await details_of(Shelf(IMAGE, {"tag": damaged}), APP, V1, View.FULL)
    assert (details.descriptor, details.error) == (IMAGE.descriptor, damaged)
    details = await details_of(Shelf(IMAGE, {"tag": damaged, "resolve": UpstreamTimeout("slow")}), APP, V1, View.FULL)
    assert (details.descriptor, details.error) == (None, damaged)
    assert damaged.__traceback__ is None


async def test_an_empty_platform_in_an_index_states_nothing() -> None:
    details = await details_of(Shelf(index_of({**CHILD, "platform": {}})), APP, V1, View.FULL)
    assert details.platforms == (Platform("linux", "amd64"),)


async def test_the_platform_that_an_index_states_counts() -> None:
    child = {**CHILD, "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}}
    details = await details_of(Shelf(index_of(child)), APP, V1, View.FULL)
    assert details.platforms == (Platform("linux", "arm64", "v8"),)


@pytest.mark.parametrize("failing", ["child", "config"])
async def test_the_platform_that_an_index_states_is_known_without_the_image(failing: str) -> None:
    child = {**CHILD, "platform": {"os": "linux", "architecture": "arm64"}}
    details = await details_of(Shelf(index_of(child), {failing: UpstreamTimeout("slow")}), APP, V1, View.FULL)
    assert details.platforms == (Platform("linux", "arm64"),)
    assert (details.total_size is None) is (failing == "child")


async def test_an_image_in_an_index_whose_content_is_ambiguous_has_the_platform_that_the_index_states() -> None:
    ambiguous = stored({"layers": [], "Layers": []}, OCI_MANIFEST)
    child = {
        "mediaType": OCI_MANIFEST,
        "digest": str(ambiguous.descriptor.digest),
        "size": 1,
        "platform": {"os": "linux", "architecture": "s390x"},
    }
    annotations = {"org.opencontainers.image.created": "2027-01-01T00:00:00Z"}
    shelf = Shelf(stored({"manifests": [CHILD, child], "annotations": annotations}, OCI_INDEX))
    shelf.manifests[ambiguous.descriptor.digest] = ambiguous
    details = await details_of(shelf, APP, V1, View.FULL)
    assert details.platforms == (Platform("linux", "amd64"), Platform("linux", "s390x"))
    assert details.error is not None
    assert details.error.reason == "CONTENT_AMBIGUOUS"
    # The other image has a date, and the index too. Which one is the newest is not known.
    assert (details.created, details.total_size) == (None, None)


@pytest.mark.parametrize("config", [b"{}", b'{"os": "unknown", "architecture": "unknown"}'])
async def test_an_image_without_a_platform_has_none(config: bytes) -> None:
    details = await details_of(Shelf(IMAGE, config=config), APP, V1, View.FULL)
    assert (details.platforms, details.error) == ((), None)


async def test_what_is_no_manifest_in_an_index_is_passed_over() -> None:
    other = {"mediaType": "application/vnd.example.blob", "digest": f"sha256:{1:064}", "size": 5}
    details = await details_of(Shelf(index_of(other, CHILD)), APP, V1, View.FULL)
    assert details.error is None
    assert details.platforms == (Platform("linux", "amd64"),)
