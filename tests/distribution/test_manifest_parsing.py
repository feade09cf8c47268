"""What is shown of a manifest is what container runtimes read, or nothing but its bytes and why."""

import base64
import json
import string
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portus_gateway.distribution import Digest, Image, Index, Manifest, Platform
from portus_gateway.distribution.json_reading import DEEPEST, MOST_VALUES
from portus_gateway.distribution.manifest import DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST
from portus_gateway.distribution.manifest_fields import MOST_ENTRIES
from portus_gateway.distribution.manifest_parsing import parse_manifest

CASES = Path(__file__).parents[1] / "cases/manifests"
CONFIG = f"sha256:{'c' * 64}"
LAYER = f"sha512:{'d' * 128}"
OTHER = f"sha256:{'a' * 64}"


def parse(document: object, media_type: str = OCI_MANIFEST) -> Manifest:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    manifest = parse_manifest(raw, digest=Digest.of(raw), media_type=media_type)
    # Whatever it says, these are right.
    assert (manifest.raw, manifest.descriptor.digest, manifest.descriptor.size) == (raw, Digest.of(raw), len(raw))
    assert (manifest.content is None) == (manifest.problem is not None)
    return manifest


def image(document: object, media_type: str = OCI_MANIFEST) -> Image:
    content = parse(document, media_type).content
    assert isinstance(content, Image)
    return content


def index(document: object, media_type: str = OCI_INDEX) -> Index:
    content = parse(document, media_type).content
    assert isinstance(content, Index)
    return content


def problem(document: object, media_type: str = OCI_MANIFEST) -> tuple[str, str]:
    found = parse(document, media_type).problem
    assert found is not None
    return found.reason, found.message


def case(name: str) -> bytes:
    return (CASES / f"{name}.json").read_bytes()


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_an_image_shows_its_id_and_its_total_size(media_type: str) -> None:
    shown = image(
        {
            "config": {"digest": CONFIG, "size": 10},
            "layers": [{"digest": LAYER, "size": 5}, {"digest": OTHER, "size": 7}],
        },
        media_type,
    )
    assert shown.image_id == Digest(CONFIG)
    assert shown.total_size == 22


def test_a_layer_that_occurs_twice_is_transferred_once() -> None:
    layer, other = {"digest": LAYER, "size": 5}, {"digest": OTHER, "size": 7}
    shown = image({"config": {"digest": CONFIG, "size": 10}, "layers": [layer, other, layer]})
    assert len(shown.layers) == 3
    assert shown.total_size == 22
    assert image({"layers": [layer, {"digest": LAYER, "size": 6}]}).total_size is None


def test_missing_sizes_are_unknown_and_not_zero() -> None:
    assert image({"config": {"digest": CONFIG}, "layers": [{"digest": LAYER, "size": 5}]}).total_size is None
    assert image({"config": {"digest": CONFIG, "size": 0}, "layers": []}).total_size == 0


@pytest.mark.parametrize("document", [{}, {"config": None, "layers": None}, {"config": {}, "layers": []}])
def test_an_artifact_without_config_or_layers(document: object) -> None:
    shown = image(document)
    assert (shown.config, shown.layers, shown.image_id, shown.total_size) == (None, (), None, 0)


def test_subject_artifact_type_and_annotations() -> None:
    shown = parse(
        {
            "artifactType": "application/x-sbom",
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": CONFIG},
            "subject": {"mediaType": OCI_MANIFEST, "digest": CONFIG, "size": 3},
            "annotations": {"a": "b", "ä": "\U0001f4a5", "n": None},
        }
    )
    assert isinstance(shown.content, Image)
    assert shown.content.artifact_type == shown.descriptor.artifact_type == "application/x-sbom"
    subject = shown.content.subject
    assert subject is not None
    assert (subject.media_type, subject.digest, subject.size) == (OCI_MANIFEST, Digest(CONFIG), 3)
    assert dict(shown.content.annotations) == {"a": "b", "ä": "\U0001f4a5", "n": ""}


@pytest.mark.parametrize(
    ("config_type", "artifact_type"),
    [
        ("application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.config.v1+json"),
        ("application/vnd.oci.image.config.v1+json", ""),
        ("application/vnd.docker.container.image.v1+json", ""),
    ],
)
def test_an_artifact_that_does_not_say_its_type_has_the_one_of_its_configuration(
    config_type: str, artifact_type: str
) -> None:
    shown = parse({"config": {"mediaType": config_type, "digest": CONFIG}, "layers": []})
    assert isinstance(shown.content, Image)
    assert shown.content.artifact_type == shown.descriptor.artifact_type == artifact_type


def test_a_descriptor_keeps_its_addresses_and_its_embedded_content() -> None:
    data = b"\x00content"
    layer = {
        "digest": str(Digest.of(data)),
        "size": len(data),
        "urls": ["https://elsewhere.test/layer", "https://again.test/layer"],
        "data": base64.b64encode(data).decode(),
    }
    (shown,) = image({"layers": [layer]}).layers
    assert shown.urls == ("https://elsewhere.test/layer", "https://again.test/layer")
    assert shown.data == data
    assert problem({"layers": [{**layer, "data": "not base64"}]}) == (
        "CONTENT_INVALID",
        "the manifest's field layers[0].data is not base64",
    )
    other = base64.b64encode(b"other").decode()
    assert problem({"layers": [{**layer, "data": other}]})[0] == "CONTENT_INVALID"


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
                {"digest": LAYER, "size": 1, "platform": {}},
            ]
        },
        media_type,
    )
    assert [child.platform for child in shown.manifests] == [
        Platform("linux", "amd64"),
        Platform("linux", "arm", "v7", "1", ("f",)),
        None,
        Platform("", ""),
    ]


DIGEST = f'"digest":"{CONFIG}"'


@pytest.mark.parametrize(
    "document",
    [
        *(case(name) for name in ("a1-annotations-twice", "a1-config-twice", "a1-layers-by-case")),
        b'{"mediaType":"","mediaType":""}',
        b'{"schemaVersion":2,"SchemaVersion":1}',
        b'{"Layers":[]}',
        b'{"artifacttype":"a"}',
        b'{"subject":null,"subject":null}',
        b'{"mani\\u0066ests":[]}',
        # Go's decoder takes these letters for an s and a k.
        '{"layer\u017f":[]}'.encode(),
        b'{"layer\\u017f":[]}',
        *(
            f'{{"layers":[{{{DIGEST},{members}}}]}}'.encode()
            for members in (
                f'"Digest":"{OTHER}"',
                f'"digest":"{OTHER}"',
                '"SIZE":1',
                '"mediatype":"a"',
                '"platform":{},"platform":null',
                '"urls":[],"Urls":[]',
                '"data":"","DATA":""',
                '"annotations":{"a":"1","a":"1"}',
                '"annotations":{"a":"1","\\u0061":"2"}',
                '"platform":{"os":"linux","OS":"windows"}',
                '"platform":{"o\u017f":"windows"}',
                '"platform":{"os.version":"1","OS.Version":"2"}',
                '"platform":{"os.features":[],"os.features":["a"]}',
                '"platform":{"variant":"v7","Variant":"v8"}',
                '"artifactType":"a","artifactType":"b"',
            )
        ),
    ],
)
def test_content_that_readers_see_differently_is_ambiguous(document: bytes) -> None:
    assert problem(document)[0] == "CONTENT_AMBIGUOUS"
    assert parse(document).kind in ("image", None)


@pytest.mark.parametrize(
    "document",
    [
        *(case(name) for name in ("a1-architecture-by-case", "a1-manifests-by-case")),
        '{"manife\u017fts":[]}'.encode(),
        f'{{"manifests":[{{{DIGEST},"platform":{{"os":"linux","architecture":"a","architecture":"b"}}}}]}}'.encode(),
        f'{{"manifests":[{{{DIGEST},"Platform":{{}}}}]}}'.encode(),
    ],
)
def test_an_index_that_readers_see_differently_is_ambiguous(document: bytes) -> None:
    assert problem(document, OCI_INDEX)[0] == "CONTENT_AMBIGUOUS"


def test_the_message_names_the_ambiguous_field() -> None:
    assert problem(case("a1-architecture-by-case"), OCI_INDEX)[1] == (
        "the manifest can be read in more than one way: manifests[0].platform.architecture is written in another case"
    )
    assert problem(case("a1-config-twice"))[1] == (
        "the manifest can be read in more than one way: config is there more than once"
    )


def test_unknown_members_do_not_matter() -> None:
    document = (
        f'{{"x":1,"x":2,"X":3,"layers":[{{{DIGEST},"y":1,"Y":2}}],"annotations":{{"a":"1","A":"2"}},'
        '"n":1e999,"big":123456789012345678901234567890,"caf\\ud83d":["\\udc00"]}'
    ).encode()
    shown = image(document.replace(b'"x":1', b'"\xff":"\xff"'))
    assert len(shown.layers) == 1
    assert dict(shown.annotations) == {"a": "1", "A": "2"}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (case("a2-negative-size"), r"layers[0].size is not a size in bytes"),
        (case("a2-no-utf8"), r"annotations.a is not a string in valid UTF-8"),
        (case("a2-nested-2000"), f"nested more than {DEEPEST} levels deep"),
        ({"layers": {}}, "layers is not a list"),
        ({"layers": [3]}, "layers[0] is not an object"),
        ({"layers": [{"digest": "sha256:zz"}]}, "layers[0].digest is not a digest"),
        ({"layers": [{"digest": f"blake3:{'a' * 64}"}]}, "layers[0].digest is not a digest"),
        ({"layers": [{}]}, "layers[0].digest is not a digest"),
        ({"config": {"digest": CONFIG, "size": -1}}, "config.size is not a size"),
        ({"config": {"digest": CONFIG, "size": "1"}}, "config.size is not a size"),
        ({"config": {"digest": CONFIG, "size": True}}, "config.size is not a size"),
        ({"config": {"digest": CONFIG, "size": 1.0}}, "config.size is not a size"),
        ({"config": {"digest": CONFIG, "size": 2**63}}, "config.size is not a size"),
        ({"config": {"digest": CONFIG, "size": 10**4000}}, "config.size is not a size"),
        (f'{{"config":{{{DIGEST},"size":{"9" * 5000}}}}}'.encode(), "config.size is not a size"),
        ({"annotations": {"a": 1}}, "annotations.a is not a string"),
        ({"annotations": []}, "annotations is not an object"),
        (b'{"annotations":{"\xff":"1"}}', r"annotations.\udcff is not a string in valid UTF-8"),
        (b'{"annotations":{"a":"\\ud800"}}', "annotations.a is not a string in valid UTF-8"),
        ({"schemaVersion": "2"}, "schemaVersion is not an integer"),
        ({"mediaType": 1}, "mediaType is not a string"),
        ({"config": {"digest": CONFIG, "urls": "a"}}, "config.urls is not a list"),
        ({"config": {"digest": CONFIG, "urls": [1]}}, "config.urls is not a string"),
        ({"config": {"digest": CONFIG, "platform": {"os.features": ["a", 1]}}}, "os.features is not a string"),
        ([], "not a JSON object"),
        (b"{", "not JSON"),
        (b"{} {}", "not JSON"),
        (b"\xff", "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        ("{}".encode("utf-16"), "not JSON"),
        (b'{"x":NaN}', "not JSON"),
        (b'{"x":-Infinity}', "not JSON"),
        (b'{"x":"\n"}', "not JSON"),
        (b"[" * 100_000, "nested more than"),
        (b"[" * 199, "not JSON"),
    ],
)
def test_the_message_names_the_field_that_is_invalid(document: object, field: str) -> None:
    reason, message = problem(document)
    assert reason == "CONTENT_INVALID"
    assert field in message
    # The registry says that it is an image, and nothing speaks against that.
    assert parse(document).kind == "image"


def nested(levels: int) -> bytes:
    """A manifest of `levels` levels; brackets inside of a string are no levels."""
    inside = '{"x":' * (levels - 2) + '["' + "[{" * 500 + '"]' + "}" * (levels - 2)
    return f'{{"layers":[{{{DIGEST}}}],"x":{inside}}}'.encode()


def test_the_limit_for_nesting_does_not_depend_on_the_call_stack() -> None:
    def deep(frames: int) -> Manifest:
        return deep(frames - 1) if frames else parse(nested(DEEPEST))

    assert isinstance(parse(nested(DEEPEST)).content, Image)
    assert isinstance(deep(sys.getrecursionlimit() // 2).content, Image)
    assert problem(nested(DEEPEST + 1))[0] == "CONTENT_INVALID"


def test_the_media_type_of_the_header_counts_before_that_of_the_field() -> None:
    assert isinstance(parse({"mediaType": "application/x-other"}, OCI_MANIFEST).content, Image)
    shown = parse({"mediaType": OCI_INDEX, "layers": {}}, "application/x-other")
    assert (shown.descriptor.media_type, shown.kind) == ("application/x-other", None)
    assert shown.problem is not None
    assert shown.problem.reason == "CONTENT_TYPE_UNKNOWN"


GENERIC = pytest.mark.parametrize("media_type", ["application/json", "text/plain", "application/octet-stream", ""])


@GENERIC
@pytest.mark.parametrize(
    ("document", "kind", "due"),
    [
        ({"mediaType": OCI_INDEX}, "index", OCI_INDEX),
        ({"mediaType": DOCKER_MANIFEST, "layers": []}, "image", DOCKER_MANIFEST),
        ({"manifests": []}, "index", OCI_INDEX),
        ({"config": {}, "layers": []}, "image", OCI_MANIFEST),
    ],
)
def test_a_manifest_of_a_generic_type_is_recognised_by_its_content(
    document: object, kind: str, due: str, media_type: str
) -> None:
    shown = parse(document, media_type)
    assert (shown.kind, shown.descriptor.media_type) == (kind, due)
    assert isinstance(shown.content, Index if kind == "index" else Image)


@GENERIC
@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (case("b-image-and-index"), "CONTENT_AMBIGUOUS"),
        ({"manifests": [], "layers": []}, "CONTENT_AMBIGUOUS"),
        ({"layers": []}, "CONTENT_TYPE_UNKNOWN"),
        ({"config": {}}, "CONTENT_TYPE_UNKNOWN"),
        ({"a": 1}, "CONTENT_TYPE_UNKNOWN"),
        ({"mediaType": "application/x-other", "manifests": []}, "CONTENT_TYPE_UNKNOWN"),
        (b"<html>", "CONTENT_INVALID"),
    ],
)
def test_unrecognisable_content_of_a_generic_type_has_no_kind(document: object, reason: str, media_type: str) -> None:
    assert parse(document, media_type).kind is None
    assert problem(document, media_type)[0] == reason


@pytest.mark.parametrize(
    ("document", "media_type"),
    [
        ({"mediaType": OCI_INDEX}, OCI_MANIFEST),
        ({"mediaType": OCI_MANIFEST}, OCI_INDEX),
        (case("b-image-and-index"), OCI_MANIFEST),
        (case("b-image-and-index"), OCI_INDEX),
        ({"manifests": None}, OCI_MANIFEST),
        ({"layers": None}, OCI_INDEX),
        ({"config": None}, DOCKER_MANIFEST_LIST),
        ({"manifests": [], "mediaType": DOCKER_MANIFEST, "layers": []}, "text/plain"),
        ({"fsLayers": []}, OCI_MANIFEST),
    ],
)
def test_an_image_that_is_also_an_index_is_neither(document: object, media_type: str) -> None:
    assert problem(document, media_type)[0] == "CONTENT_AMBIGUOUS"
    assert parse(document, media_type).kind is None


def test_contradictory_media_types_of_one_kind_keep_the_kind() -> None:
    shown = parse({"mediaType": DOCKER_MANIFEST}, OCI_MANIFEST)
    assert shown.problem is not None
    assert (shown.problem.reason, shown.kind) == ("CONTENT_AMBIGUOUS", "image")


def annotated(count: int) -> bytes:
    return json.dumps({"layers": [], "annotations": {str(number): "" for number in range(count)}}).encode()


@pytest.mark.parametrize(
    "document",
    [
        annotated(MOST_ENTRIES + 1),
        annotated(350_000),
        {"layers": [{"digest": CONFIG}] * (MOST_ENTRIES + 1)},
        {"layers": [{"digest": CONFIG, "urls": ["a"] * 1000, "annotations": {"a": "b"}}] * 11},
        {"layers": [{"digest": CONFIG, "platform": {"os.features": ["a"] * (MOST_ENTRIES + 1)}}]},
        {"x": [1] * (MOST_VALUES + 1)},
        {"x": [[]] * (MOST_VALUES + 1)},
        {"x": [{"a": {}}] * MOST_VALUES},
        b'{"x":"' + b'\\"\\\\"' * 800_000,
        b'""' * 1_000_000 + b"," * 1_000_000,
        b"[" * 4_000_000,
        b'{"a":' * 800_000,
    ],
    ids=range(12),
)
def test_a_manifest_with_too_many_parts_is_not_read(document: object) -> None:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    started = time.process_time()
    found = problem(raw)
    # Many times what it takes, and a fraction of what it took before there were bounds.
    assert time.process_time() - started < 1.0
    assert found[0] in ("CONTENT_TOO_LARGE", "CONTENT_INVALID")
    assert parse(raw).entries <= MOST_ENTRIES + 1000


def test_a_manifest_with_the_maximum_number_of_parts_is_read() -> None:
    assert len(image(annotated(MOST_ENTRIES)).annotations) == MOST_ENTRIES
    assert parse(annotated(MOST_ENTRIES)).entries == MOST_ENTRIES
    # One annotation that holds a document of its own is one entry.
    inner = json.dumps([{"digest": CONFIG, "n": number} for number in range(MOST_VALUES // 2)])
    assert len(inner) > 2**20
    assert image({"annotations": {"sbom": inner}}).annotations["sbom"] == inner


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(CONFIG),
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


@given(JSON, st.sampled_from([OCI_MANIFEST, OCI_INDEX, "text/plain"]))
def test_any_json_is_either_read_or_has_a_problem(document: object, media_type: str) -> None:
    parse(document, media_type)


@given(st.binary(max_size=50) | st.text(st.sampled_from('{}[]",:\\ua1'), max_size=60).map(str.encode))
def test_any_bytes_are_either_read_or_have_a_problem(raw: bytes) -> None:
    parse(raw)


@given(st.text(st.sampled_from(string.ascii_letters + "\u017f\u212aß\u0130\ufb06"), min_size=2, max_size=8))
def test_names_are_compared_as_in_go(text: str) -> None:
    """Go folds ASCII letters, U+017F and U+212A, and nothing else that could make a name of ours."""
    folded = "".join({"\u017f": "s", "\u212a": "k"}.get(character, character.lower()) for character in text)
    shown = parse(json.dumps({text: None}, ensure_ascii=False).encode())
    assert (shown.problem is None) == (folded not in {"config", "layers", "subject"} or text == folded)
