import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portus_gateway.distribution import Digest, Image, Index, Manifest, Platform
from portus_gateway.distribution.errors import UntrustedAnswer
from portus_gateway.distribution.manifest import DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST

CONFIG = f"sha256:{'c' * 64}"
LAYER = f"sha512:{'d' * 128}"


def parse(document: object, media_type: str = OCI_MANIFEST) -> Manifest:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Manifest.parse(raw, digest=Digest.of(raw), media_type=media_type)


def image(document: object, media_type: str = OCI_MANIFEST) -> Image:
    content = parse(document, media_type).content
    assert isinstance(content, Image)
    return content


def index(document: object, media_type: str = OCI_INDEX) -> Index:
    content = parse(document, media_type).content
    assert isinstance(content, Index)
    return content


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_an_image_shows_its_id_and_its_total_size(media_type: str) -> None:
    shown = image(
        {
            "config": {"digest": CONFIG, "size": 10},
            "layers": [{"digest": LAYER, "size": 5}, {"digest": LAYER, "size": 7}],
        },
        media_type,
    )
    assert shown.image_id == Digest(CONFIG)
    assert shown.total_size == 22


def test_missing_sizes_are_unknown_and_not_zero() -> None:
    assert image({"config": {"digest": CONFIG}, "layers": [{"digest": LAYER, "size": 5}]}).total_size is None
    assert image({"config": {"digest": CONFIG, "size": 0}, "layers": []}).total_size == 0


@pytest.mark.parametrize("document", [{}, {"config": None, "layers": None}, {"config": {}, "layers": []}])
def test_an_artifact_without_config_or_layers(document: object) -> None:
    shown = image(document)
    assert (shown.config, shown.layers, shown.image_id, shown.total_size) == (None, (), None, 0)


def test_subject_artifact_type_and_annotations() -> None:
    shown = image(
        {
            "artifactType": "application/x-sbom",
            "subject": {"mediaType": OCI_MANIFEST, "digest": CONFIG, "size": 3},
            "annotations": {"a": "b"},
        }
    )
    assert shown.artifact_type == "application/x-sbom"
    assert shown.subject is not None
    assert (shown.subject.media_type, shown.subject.digest, shown.subject.size) == (OCI_MANIFEST, Digest(CONFIG), 3)
    assert dict(shown.annotations) == {"a": "b"}


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_MANIFEST_LIST])
def test_an_index_names_its_platforms(media_type: str) -> None:
    shown = index(
        {
            "manifests": [
                {"digest": CONFIG, "size": 1, "platform": {"os": "linux", "architecture": "amd64"}},
                {
                    "digest": LAYER,
                    "size": 1,
                    "platform": {
                        "os": "linux",
                        "architecture": "arm",
                        "variant": "v7",
                        "os.version": "1",
                        "os.features": ["f"],
                    },
                },
                {"digest": LAYER, "size": 1},
            ]
        },
        media_type,
    )
    assert [child.platform for child in shown.manifests] == [
        Platform("linux", "amd64"),
        Platform("linux", "arm", "v7", "1", ("f",)),
        None,
    ]


def test_a_platform_picks_the_first_child_that_fits() -> None:
    shown = index(
        {
            "manifests": [
                {"digest": CONFIG, "platform": {"os": "linux", "architecture": "arm", "variant": "v6"}},
                {"digest": LAYER, "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}},
            ]
        }
    )
    v6, v7 = shown.manifests
    assert shown.child(Platform("linux", "arm")) == v6
    assert shown.child(Platform("linux", "arm", "v7")) == v7
    assert shown.child(Platform("linux", "arm64")) is None
    assert shown.child(Platform("linux", "arm", "v7", os_features=("x",))) is None


def test_the_header_goes_before_the_field_and_the_field_before_nothing() -> None:
    assert isinstance(parse({"mediaType": OCI_INDEX}, "application/json").content, Index)
    assert isinstance(parse({"mediaType": "application/x-other"}, OCI_MANIFEST).content, Image)
    unknown = parse({"a": 1}, "application/x-other")
    assert (unknown.content, unknown.descriptor.media_type) == (None, "application/x-other")


def test_what_is_an_index_to_one_reader_and_an_image_to_another_is_neither() -> None:
    with pytest.raises(UntrustedAnswer, match="says that it is"):
        parse({"mediaType": OCI_INDEX}, OCI_MANIFEST)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"layers": {}}, "layers is not a list"),
        ({"layers": [3]}, r"layers\[0\] is not an object"),
        ({"layers": [{"digest": "sha256:zz"}]}, r"layers\[0\]\.digest is not a digest"),
        ({"config": {"digest": CONFIG, "size": -1}}, r"config\.size is not a size"),
        ({"config": {"digest": CONFIG, "size": "1"}}, r"config\.size is not a size"),
        ({"config": {"digest": CONFIG, "size": True}}, r"config\.size is not a size"),
        ({"config": {"digest": CONFIG, "size": 2**63}}, r"config\.size is not a size"),
        ({"annotations": {"a": 1}}, r"annotations\.a is not a string"),
        ({"config": {"digest": CONFIG, "platform": {"os.features": ["a", 1]}}}, "os.features is not a list of strings"),
        ([], "not a JSON object"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_manifest_is_an_error_that_names_the_field(document: object, field: str) -> None:
    with pytest.raises(UntrustedAnswer, match=field):
        parse(document)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.just(CONFIG),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["config", "layers", "manifests", "digest", "size", "platform", "annotations", "subject"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(JSON, st.sampled_from([OCI_MANIFEST, OCI_INDEX]))
def test_any_json_is_either_read_or_refused(document: object, media_type: str) -> None:
    try:
        parse(document, media_type)
    except UntrustedAnswer:
        pass
