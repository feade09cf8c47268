"""Every field, set and unset."""

from dataclasses import fields

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from portus.registry.v1 import manifest_pb2, registry_service_pb2
from portus.registry.v1.registry_service_pb2 import GetManifestResponse
from portus_gateway.distribution import (
    Descriptor,
    Digest,
    Image,
    Index,
    Manifest,
    Platform,
    Repository,
    UnusableName,
)
from portus_gateway.distribution.errors import Denied
from portus_gateway.distribution.manifest import ContentProblem
from portus_gateway.operations.catalog_listing import CatalogEntry, TagNames
from portus_gateway.rpc import conversion
from portus_gateway.rpc.limits import ServerLimits
from tests.rpc.failures import read

D1, D2, D3, D4 = (f"sha256:{digit * 64}" for digit in "1234")

PLATFORM = Platform(os="windows", architecture="arm", variant="v7", os_version="10.0", os_features=("a", "b"))
FULL = Descriptor(
    media_type="application/a",
    digest=Digest(D1),
    size=7,
    platform=PLATFORM,
    artifact_type="application/b",
    annotations={"key": "value", "": "empty"},
    urls=("https://elsewhere.test/a", ""),
    data=b"\x00data",
)
BARE = Descriptor(media_type="", digest=Digest(D2))

PLATFORM_MESSAGE = manifest_pb2.Platform(
    os="windows", architecture="arm", variant="v7", os_version="10.0", os_features=["a", "b"]
)
FULL_MESSAGE = manifest_pb2.Descriptor(
    media_type="application/a",
    digest=D1,
    size=7,
    platform=PLATFORM_MESSAGE,
    artifact_type="application/b",
    annotations={"key": "value", "": "empty"},
    urls=["https://elsewhere.test/a", ""],
    data=b"\x00data",
)
BARE_MESSAGE = manifest_pb2.Descriptor(digest=D2)


def described(platform: Platform) -> manifest_pb2.Platform:
    return conversion.descriptor(Descriptor("", Digest(D1), platform=platform)).platform


def converted(content: Image | Index | None) -> manifest_pb2.Manifest:
    return conversion.manifest(Manifest(descriptor=FULL, raw=b"\x00\xff", content=content))


def test_a_platform() -> None:
    assert described(PLATFORM) == PLATFORM_MESSAGE
    assert described(Platform("linux", "amd64")) == manifest_pb2.Platform(os="linux", architecture="amd64")
    empty = conversion.descriptor(Descriptor("", Digest(D1), platform=Platform("", "")))
    assert empty.HasField("platform")


def test_a_descriptor() -> None:
    assert conversion.descriptor(FULL) == FULL_MESSAGE
    assert conversion.descriptor(BARE) == BARE_MESSAGE


def test_missing_fields_of_a_descriptor_are_unset() -> None:
    message = conversion.descriptor(BARE)
    assert not message.HasField("size")
    assert not message.HasField("platform")
    assert conversion.descriptor(Descriptor("", Digest(D1), size=0)).HasField("size")


def test_an_image() -> None:
    layer = Descriptor("application/layer", Digest(D3), size=5)
    image = Image(config=FULL, layers=(layer, layer), subject=BARE, artifact_type="a", annotations={"b": "c"})
    layer_message = manifest_pb2.Descriptor(media_type="application/layer", digest=D3, size=5)
    assert converted(image).image == manifest_pb2.Image(
        config=FULL_MESSAGE,
        layers=[layer_message, layer_message],
        subject=BARE_MESSAGE,
        artifact_type="a",
        annotations={"b": "c"},
        image_id=D1,
        total_size=12,
    )


def test_an_empty_image() -> None:
    message = converted(Image(config=None, layers=())).image
    assert message == manifest_pb2.Image(total_size=0)
    assert not message.HasField("config")
    assert not message.HasField("subject")
    assert message.image_id == ""


@pytest.mark.parametrize("sizes", [(None,), (1, None), (2**63 - 1, 1)])
def test_a_total_size_that_is_not_known_is_unset(sizes: tuple[int | None, ...]) -> None:
    layers = tuple(
        Descriptor("", digest, size=size) for digest, size in zip(map(Digest, (D1, D2)), sizes, strict=False)
    )
    assert not converted(Image(config=None, layers=layers)).image.HasField("total_size")


def test_an_index() -> None:
    index = Index(manifests=(FULL, BARE), subject=BARE, artifact_type="a", annotations={"b": "c"})
    assert converted(index).index == manifest_pb2.Index(
        manifests=[FULL_MESSAGE, BARE_MESSAGE], subject=BARE_MESSAGE, artifact_type="a", annotations={"b": "c"}
    )
    empty = converted(Index(manifests=())).index
    assert empty == manifest_pb2.Index()
    assert not empty.HasField("subject")


@pytest.mark.parametrize(
    ("content", "kind"), [(Image(config=None, layers=()), "image"), (Index(manifests=()), "index"), (None, None)]
)
def test_a_manifest(content: Image | Index | None, kind: str | None) -> None:
    message = converted(content)
    assert (message.descriptor, message.raw, message.WhichOneof("content")) == (FULL_MESSAGE, b"\x00\xff", kind)


def test_every_field_of_the_values_has_one_in_the_messages() -> None:
    for value, message in (
        (Platform, manifest_pb2.Platform),
        (Descriptor, manifest_pb2.Descriptor),
        (Index, manifest_pb2.Index),
    ):
        assert {field.name for field in fields(value)} == set(message.DESCRIPTOR.fields_by_name)
    computed = {"image_id", "total_size"}
    assert {field.name for field in fields(Image)} | computed == set(manifest_pb2.Image.DESCRIPTOR.fields_by_name)


def test_a_media_type_that_utf_8_cannot_write_does_not_break_a_message() -> None:
    # A registry's header can have any byte.
    message = conversion.descriptor(Descriptor("half \ud83d", Digest(D1)))
    assert message.media_type == "half ?"
    assert manifest_pb2.Descriptor.FromString(message.SerializeToString()) == message
    assert conversion.text("ä\U0001f4a5") == "ä\U0001f4a5"


def test_why_there_is_no_content() -> None:
    problem = ContentProblem("CONTENT_AMBIGUOUS", "layers is there twice" + "x" * 5000)
    message = conversion.manifest(Manifest(descriptor=FULL, raw=b"{}", content=None, problem=problem))
    reported = read(message.content_status)
    assert (reported.code, reported.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CONTENT_AMBIGUOUS")
    assert reported.message.startswith("layers is there twice")
    assert message.content_status.ByteSize() <= 1024
    assert not converted(Image(config=None, layers=())).HasField("content_status")


def test_the_content_is_left_out_if_the_answer_would_be_too_large() -> None:
    layer = Descriptor("a" * 1000, Digest(D3), size=5)
    raw = b" " * (3 * 2**20)
    fits = conversion.manifest(Manifest(descriptor=FULL, raw=raw, content=Image(None, (layer,) * 900)))
    assert fits.HasField("image")
    large = conversion.manifest(Manifest(descriptor=FULL, raw=raw, content=Image(None, (layer,) * 1000)))
    assert (large.WhichOneof("content"), large.raw) == (None, raw)
    assert read(large.content_status).reason == "CONTENT_TOO_LARGE"
    assert GetManifestResponse(manifest=large).ByteSize() < 4 * 2**20


def test_a_repository_with_tags_without_and_with_none_asked_for() -> None:
    name = Repository("team/app")
    listed = TagNames(("1", "2"), ("-\ud83d", "-"))
    assert conversion.repository(CatalogEntry(name, listed)) == registry_service_pb2.Repository(
        name="team/app", tags=["1", "2"], unusable_tags=["-", "-?"]
    )
    for tags in (None, TagNames(())):
        assert conversion.repository(CatalogEntry(name, tags)) == registry_service_pb2.Repository(name="team/app")


def test_a_repository_whose_tags_are_unknown() -> None:
    message = conversion.repository(CatalogEntry(Repository("team/app"), Denied("not for us " + "x" * 5000)))
    reported = read(message.tags_status)
    assert (message.name, list(message.tags)) == ("team/app", [])
    assert (reported.reason, reported.resource) == ("DENIED", ("repository", "team/app"))
    assert message.tags_status.ByteSize() <= 1024


def test_an_unusable_name_of_any_length() -> None:
    message = conversion.repository(CatalogEntry(UnusableName("Ü" * 5000, "no name"), None))
    assert message == registry_service_pb2.Repository(name="Ü" * 1024)


def test_limits() -> None:
    limits = ServerLimits(
        max_concurrent_calls=1, max_call_duration=0.0015, max_manifest_bytes=2**40, max_upstream_requests=3
    )
    assert conversion.limits(limits) == registry_service_pb2.Limits(
        default_page_size=100,
        max_page_size=1000,
        max_manifest_bytes=2**40,
        max_concurrent_calls=1,
        max_call_duration=Duration(nanos=2_000_000),
        max_upstream_requests=3,
    )
